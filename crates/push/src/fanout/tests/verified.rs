//! Who hashes: the source once, if it says that it does, and the fan-out once otherwise; and what
//! becomes of who reads on alone.

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

/// What a destination reads says that it is verified, so that nobody hashes it for that destination
/// alone; and is, by who reads it once for all.
#[tokio::test]
async fn p4_what_the_source_does_not_verify_is_hashed_once_for_all_destinations() {
    for offset in [0, 300_000] {
        for wrong in [true, false] {
            let (counting, _, blobs) = image(&[1_000_000]);
            let mut source: Arc<dyn Source> = Arc::clone(&counting) as _;
            if wrong {
                source = Arc::new(Altered {
                    source: Arc::clone(&counting),
                    claims: false,
                });
            }
            let registries = ["a", "b"].map(|it| repository(it, "app").registry().clone());
            let hub = Arc::new(Hub::new(source, FanoutOptions::default(), &registries));
            let members = [0, 1].map(|at| Member::new(Arc::clone(&hub), at));
            assert!(members.iter().all(Source::verifies));
            let readings = members.iter().map(|it| read(it, &blobs[0], offset));
            let whole = read(&*counting, &blobs[0], offset).await.unwrap();
            for read in join_all(readings).await {
                match read {
                    Ok(bytes) => assert!(!wrong && bytes == whole),
                    Err((error, before)) => {
                        assert!(wrong && before < whole.len());
                        assert!(matches!(error, SourceError::Altered { .. }), "{error}");
                    }
                }
            }
            let opened = counting.opened();
            assert_eq!(opened.len(), 2, "once for both, and here: {opened:?}");
        }
    }
}

/// All that is read, or the error and how much came before it.
async fn read(
    source: &dyn Source,
    blob: &Descriptor,
    offset: u64,
) -> Result<Vec<u8>, (SourceError, usize)> {
    let mut body = source.open(blob, offset).await.unwrap();
    let mut all = Vec::new();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => all.extend_from_slice(&piece),
            Err(error) => return Err((error, all.len())),
        }
    }
    Ok(all)
}

/// A source whose layer is altered in one of its readings; it notices, if it says that it verifies.
#[derive(Debug)]
struct Once {
    source: Arc<Counting>,
    claims: bool,
    /// Which reading that is: the first has the number 0.
    altered: Option<u64>,
    readings: AtomicU64,
}

#[async_trait]
impl Source for Once {
    async fn root(&self) -> Result<Document, SourceError> {
        self.source.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.source.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        let body = self.source.open(blob, offset).await?;
        if blob.size < PIECE {
            return Ok(body);
        }
        let reading = self.readings.fetch_add(1, Ordering::Relaxed);
        if self.altered != Some(reading) {
            return Ok(body);
        }
        let (claims, blob) = (self.claims, blob.clone());
        let mut at = offset;
        let altered = body.map(move |piece| {
            let mut piece = piece?.to_vec();
            at += piece.len() as u64;
            if claims && at == blob.size {
                return Err(SourceError::Altered {
                    expected: blob.digest.clone(),
                    actual: Digest::of(b"altered"),
                    place: "here".to_owned(),
                });
            }
            piece[0] ^= 1;
            Ok(piece.into())
        });
        Ok(altered.boxed())
    }

    fn verifies(&self) -> bool {
        self.claims
    }
}

/// Who is left behind sends the beginning of one reading and the end of another. It gets its last
/// piece only if both are right.
#[tokio::test(start_paused = true)]
async fn p4_a_laggard_is_verified_over_both_of_its_readings() {
    for claims in [false, true] {
        for altered in [None, Some(0), Some(1)] {
            let (source, _, blobs) = image(&[4_000_000]);
            let source = Arc::new(Once {
                source,
                claims,
                altered,
                readings: AtomicU64::default(),
            });
            let prompt = Trusting {
                repository: repository("prompt", "app"),
                taken: AtomicU64::default(),
            };
            let slow = Slow {
                repository: repository("slow", "app"),
                until: PIECE,
                go_on: Semaphore::new(0),
                taken: AtomicU64::default(),
            };
            let options = small_window();
            let destination = Destination::tagged(["1".parse().unwrap()]);
            let engine = Engine::new(Options::default());
            let targets: [&dyn PushTarget; 2] = [&prompt, &slow];
            let branches = targets.map(|target| Branch {
                engine: &engine,
                target,
                destination: &destination,
                observer: &(),
            });
            let pushing = push_to_all(Arc::clone(&source) as _, &branches, options);
            let waiting = async {
                tokio::time::sleep(options.patience * 3).await;
                slow.go_on.add_permits(1000);
            };
            let (landings, ()) = tokio::join!(pushing, waiting);
            let case = format!("{claims} {altered:?} {landings:?}");
            assert_eq!(landings[0].result.is_ok(), altered != Some(0), "{case}");
            assert_eq!(landings[1].result.is_ok(), altered.is_none(), "{case}");
            assert!(landings[1].reopened >= 1, "{case}");
            let taken = slow.taken.load(Ordering::Relaxed);
            assert_eq!(taken == blobs[0].size, altered.is_none(), "{case}");
        }
    }
}
