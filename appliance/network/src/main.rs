//! Network of the appliance.

fn main() {}
