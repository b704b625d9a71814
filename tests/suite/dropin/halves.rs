//! Actions on halves: borrowed, owned, dropped, reunited.
//!
//! Owns the actions. Never knows the network.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::net::{Net, Stream};
use super::seen::{Seen, glance, only_kind};

pub(crate) async fn borrowed<N: Net>(net: &N, seen: &mut Seen) {
    let (mut here, mut there) = net.pair().await;
    let (mut reader, mut writer) = here.split();
    let mut heard = [0; 4];
    let both = async {
        there.write_all(b"over").await?;
        there.read_u8().await
    };
    let (wrote, read, other) =
        tokio::join!(writer.write_all(b"x"), reader.read_exact(&mut heard), both);
    wrote.unwrap();
    other.unwrap();
    seen.see("split: write and read at once", read);
    drop((reader, writer));
    let early = glance(there.read_u8()).await;
    seen.see("split: both dropped, the peer reads", early.map(only_kind));
    here.write_all(b"y").await.unwrap();
    let read = there.read_u8().await;
    seen.see("… and then what is written", only_kind(read));
}

pub(crate) async fn owned<N: Net>(net: &N, seen: &mut Seen) {
    let (here, mut there) = net.pair().await;
    let (local, peer) = (here.local(), here.peer());
    let (mut reader, mut writer) = here.into_split();
    let addrs = <N::Conn as Stream>::addrs_of_halves(&reader, &writer);
    let same = addrs == [&*local, &*peer, &*local, &*peer];
    seen.see("into_split: each half knows both addresses", same);
    let writing = tokio::spawn(async move {
        writer.write_all(b"from a task").await?;
        Ok(writer)
    });
    let mut buf = [0; 11];
    there.read_exact(&mut buf).await.unwrap();
    let writer: std::io::Result<_> = writing.await.unwrap();
    seen.see(
        "into_split: a half in another task",
        only_kind(
            writer
                .as_ref()
                .map_err(|_| std::io::ErrorKind::Other.into()),
        ),
    );
    drop(writer);
    let mut text = String::new();
    let end = there.read_to_string(&mut text).await;
    seen.see("the write half dropped: the peer reads", end);
    there.write_all(b"back").await.unwrap();
    let read = reader.read_exact(&mut buf[..4]).await;
    seen.see("… and can still write back", read);

    let (here, mut there) = net.pair().await;
    let (reader, mut writer) = here.into_split();
    drop(reader);
    let wrote = there.write_all(b"unheard").await;
    seen.see("the read half dropped: the peer writes", wrote);
    writer.write_all(b"on").await.unwrap();
    let read = there.read_exact(&mut buf[..2]).await;
    seen.see("… and can still be written to", read);
}

pub(crate) async fn reunited<N: Net>(net: &N, seen: &mut Seen) {
    let (here, mut there) = net.pair().await;
    let (reader, writer) = here.into_split();
    let mut here = <N::Conn as Stream>::reunite(reader, writer).expect("they are of one");
    let early = glance(there.read_u8()).await;
    seen.see("reunite: the peer reads", early.map(only_kind));
    here.write_all(b"z").await.unwrap();
    let read = there.read_u8().await;
    seen.see("… and then what is written to the whole", only_kind(read));
    let (reader, _writer) = here.into_split();
    let (_reader, writer) = there.into_split();
    let odd = <N::Conn as Stream>::reunite(reader, writer).is_none();
    seen.see("reunite halves of two connections: refused", odd);
}
