//! The files of subnetworks: when they are written, and when they are complete.
//!
//! Owns a folder for each test. Never looks at a line.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use virtnet_core::pipe::PipeNetwork;
use virtnet_core::trace::{FileEnd, Recording, read};

use super::recording::lines;

/// A new folder, which is removed.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("virtnet-core-trace-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        drop(fs::remove_dir_all(&path));
        Folder(path)
    }

    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(&self.0).unwrap();
        let mut files: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[tokio::test]
async fn a_file_has_what_memory_has_when_the_subnetwork_has_closed() {
    let folder = Folder::new("close");
    let network = PipeNetwork::new("a/β net").unwrap();
    let recording = Recording::new().dir(&folder.0);
    let pid = std::process::id();
    for number in 1..=2 {
        let subnet = network.subnetwork();
        let path = subnet.record_with(&recording).unwrap().unwrap();
        let name = format!("a_β_net-{pid}-{number}.jsonl");
        assert_eq!(path, folder.0.join(&name));
        let begun = read(&path).unwrap();
        assert_eq!(begun.end, FileEnd::Open);
        assert_eq!(
            subnet.record_with(&recording).unwrap_err().to_string(),
            format!(
                "trace file {path:?}: expected a subnetwork without a trace file, got one that \
                 writes this file"
            )
        );

        let alpha = subnet.new_host("α").await.unwrap();
        alpha.note("a \"note\"\n");
        subnet.close().await.unwrap();
        let read = read(&path).unwrap();
        assert_eq!(read.end, FileEnd::Complete);
        assert_eq!(read.records, [subnet.trace()]);
        alpha.note("too late for the file");
        assert_eq!(folder.files().len(), number);
    }
}

/// A process that is killed leaves its events but for the last 50 ms: here until the file has them.
#[tokio::test]
async fn a_file_is_written_while_the_subnetwork_is_open() {
    let folder = Folder::new("open");
    let subnet = PipeNetwork::new("net").unwrap().subnetwork();
    let recording = Recording::new().dir(&folder.0);
    let path = subnet.record_with(&recording).unwrap().unwrap();
    let _alpha = subnet.new_host("α").await.unwrap();
    let begun = tokio::time::Instant::now();
    loop {
        let file = read(&path).unwrap();
        if let [record] = &file.records[..]
            && !record.events.is_empty()
        {
            assert_eq!(file.end, FileEnd::Open);
            assert_eq!(lines(record), ["α made"]);
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{file:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    subnet.close().await.unwrap();
}

#[tokio::test]
async fn a_subnetwork_whose_runtime_ends_completes_its_file() {
    let folder = Folder::new("runtime");
    let dir = folder.0.clone();
    let path = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let subnet = PipeNetwork::new("net").unwrap().subnetwork();
            let path = subnet.record_with(&Recording::new().dir(dir)).unwrap();
            subnet.new_host("α").await.unwrap();
            path.unwrap()
        })
    });
    let path = path.await.unwrap();
    let file = read(&path).unwrap();
    assert_eq!(file.end, FileEnd::Complete);
    assert_eq!(lines(&file.records[0]), ["α made", "α closed"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new("unwritable");
    fs::write(&folder.0, "a file").unwrap();
    let subnet = PipeNetwork::new("net").unwrap().subnetwork();
    let failed = subnet.record_with(&Recording::new().dir(&folder.0));
    let failed = failed.unwrap_err();
    assert_eq!(failed.path(), Some(&*folder.0));
    assert!(
        failed
            .to_string()
            .starts_with(&format!("trace file {:?}: ", folder.0))
    );
    fs::remove_file(&folder.0).unwrap();
}
