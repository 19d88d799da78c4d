//! Damage and cutting.
