//! Lines: how something goes on over time.
