mod offload;
mod tunnels;
