mod interoperation;
mod namespace;
mod offload;
mod tunnels;
