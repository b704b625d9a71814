//! The target `addr`: hands each input on. Never judges one: the library does.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtnet_fuzz::addr(input));
