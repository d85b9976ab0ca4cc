//! A whole cloudlet of real programs: a node that runs Pods, Sinfonia by its chart on it, and devices beside it. All tests share one, one
//! after the other, because what they break is the same for all. They need root.

mod device;
mod edge;
mod faults;
mod helloworld;
mod isolation;
mod resets;
