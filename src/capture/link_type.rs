//! Link-layer types, by the numbers of the tcpdump group's list.

/// A link-layer type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);
