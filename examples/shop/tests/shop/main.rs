//! The shop as people use it: in a browser, and as several instances; and what it refuses.

mod browser;
mod instances;
mod live;
mod page;
mod requests;
mod running;
mod tabs;
