//! The target `hostdata`: hands each input on. Never judges one: the library does.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtnet_fuzz::hostdata(input));
