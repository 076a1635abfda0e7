//! Small safe wrappers over the operating system.

pub mod clock;
pub mod fork;
pub mod names;
pub mod random;
pub mod signals;
pub mod thread;
