//! The shop as people use it: in a browser, and as several instances.

mod browser;
mod instances;
mod running;
