//! virtnet.
