mod addresses;
mod hostile;
mod recovery;
mod sessions;
mod world;
