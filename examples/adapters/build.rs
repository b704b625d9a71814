//! The gRPC service, generated without protoc: what a `.proto` file would say.
//!
//! Owns the names of the service and its methods. Never knows of virtnet.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let line = "crate::chat::Line";
    let method = |name: &str, route: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(line)
            .output_type(line)
            .codec_path("tonic_prost::ProstCodec")
    };
    let chat = Service::builder()
        .name("Chat")
        .package("adapters")
        .method(method("shout", "Shout").build())
        .method(
            method("talk", "Talk")
                .client_streaming()
                .server_streaming()
                .build(),
        )
        .build();
    Builder::new().compile(&[chat]);
}
