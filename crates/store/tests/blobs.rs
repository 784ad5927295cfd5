//! Evidence by its digest.

use assay_primitives::Digest;
use assay_store::{BlobError, BlobStore};
use bytes::Bytes;

#[tokio::test]
async fn blobs_come_back_by_their_digest() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::in_folder(&folder.path().join("a/b")).unwrap();
    for content in [Bytes::from_static(b"x"), Bytes::new(), Bytes::from(vec![7; 1 << 20])] {
        let digest = blobs.put(content.clone()).await.unwrap();
        assert_eq!(digest, Digest::of(&content));
        assert_eq!(blobs.put(content.clone()).await.unwrap(), digest, "storing it again");
        assert_eq!(blobs.get(digest).await.unwrap(), Some(content));
    }
    assert_eq!(blobs.get(Digest::ZERO).await.unwrap(), None);
    let again = BlobStore::in_folder(&folder.path().join("a/b")).unwrap();
    assert!(again.get(Digest::of(b"x")).await.unwrap().is_some());
}

#[tokio::test]
async fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::in_folder(folder.path()).unwrap();
    let digest = blobs.put(Bytes::from_static(b"evidence")).await.unwrap();
    let name = digest.to_string();
    let file = folder.path().join(&name[..2]).join(&name);
    std::fs::write(&file, b"Evidence").unwrap();
    match blobs.get(digest).await {
        Err(BlobError::Damaged { expected, got }) => {
            assert_eq!((expected, got), (digest, Digest::of(b"Evidence")));
        }
        other => panic!("{other:?}"),
    }
    // Storing it again mends it.
    blobs.put(Bytes::from_static(b"evidence")).await.unwrap();
    assert!(blobs.get(digest).await.unwrap().is_some());
}

#[test]
fn a_folder_that_cannot_be_used() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = BlobStore::in_folder(file.path()).unwrap_err();
    assert!(matches!(error, BlobError::Folder { .. }), "{error}");
}
