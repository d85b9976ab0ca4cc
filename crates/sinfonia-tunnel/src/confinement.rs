//! Applications that are confined to a tunnel: namespaces of their own, made without root.
