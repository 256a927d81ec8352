//! Who hashes: the source once, if it says that it does, and each destination otherwise.

use super::*;

/// A source whose blobs are not what they should be; whether it says that they are.
#[derive(Debug)]
struct Altered {
    source: Arc<Counting>,
    claims: bool,
}

#[async_trait]
impl Source for Altered {
    async fn root(&self) -> Result<Document, SourceError> {
        self.source.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.source.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        let body = self.source.open(blob, offset).await?;
        let zeros = body.map(|piece| Ok(Bytes::from(vec![0; piece?.len()])));
        Ok(zeros.boxed())
    }

    fn verifies(&self) -> bool {
        self.claims
    }
}

/// Takes whatever it is given.
#[derive(Debug)]
struct Trusting {
    repository: Repository,
    taken: AtomicU64,
}

#[async_trait]
impl PushTarget for Trusting {
    fn repository(&self) -> &Repository {
        &self.repository
    }

    async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError> {
        let failed = |error| TargetError::from_source(error, "upload a blob");
        let mut body = upload.source.open(upload.blob, 0).await.map_err(failed)?;
        let mut sent = 0;
        while let Some(piece) = body.next().await {
            sent += piece.map_err(failed)?.len() as u64;
        }
        self.taken.fetch_add(sent, Ordering::Relaxed);
        Ok(UploadReceipt::new(sent))
    }

    async fn put_manifest(
        &self,
        _: &Document,
        _: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        Ok(ManifestReceipt::default())
    }
}

/// Nobody but the source looks: what it gives wrongly arrives everywhere, so that it was hashed there
/// or nowhere. A source that claims nothing is looked at, and nothing wrong is ever committed.
#[tokio::test]
async fn p4_what_the_source_verifies_is_not_hashed_for_each_destination() {
    for claims in [true, false] {
        let (source, _, blobs) = image(&[1_000_000]);
        let altered: Arc<dyn Source> = Arc::new(Altered {
            source: Arc::clone(&source),
            claims,
        });
        let targets = ["a", "b", "c"].map(|it| Trusting {
            repository: repository(it, "app"),
            taken: AtomicU64::default(),
        });
        let destination = Destination::tagged(["1".parse().unwrap()]);
        let engine = Engine::new(Options::default());
        let branches: Vec<Branch<'_>> = targets
            .iter()
            .map(|target| Branch {
                engine: &engine,
                target,
                destination: &destination,
                observer: &(),
            })
            .collect();
        let landings = push_to_all(altered, &branches, FanoutOptions::default()).await;
        for landing in &landings {
            assert_eq!(landing.result.is_ok(), claims, "{landing:?}");
        }
        let all: u64 = blobs.iter().map(|it| it.size).sum();
        for target in &targets {
            let taken = target.taken.load(Ordering::Relaxed);
            assert_eq!(taken, if claims { all } else { 0 });
        }
        let mut opened = source.opened();
        opened.dedup();
        assert!(opened.iter().all(|(_, at)| *at == 0), "{opened:?}");
        assert_eq!(reopened(&landings), [0; 3]);
    }
}
