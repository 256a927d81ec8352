//! The state as a journal: each call reads a row, asks the rules, and writes what they say.

use async_trait::async_trait;
use oci::UploadSession;

use super::{
    State,
    table::{Access, apply},
    time,
};
use crate::journal::{BlobKey, Claim, Journal, Listed, Removed, StateError, Stored, rules};

#[async_trait]
impl Journal for State {
    fn claim(&self, blob: BlobKey, size: u64) -> Claim {
        self.new_claim(blob, size)
    }

    async fn look(&self, blob: &BlobKey) -> Result<Option<u64>, StateError> {
        let blob = blob.clone();
        self.run(Access::Read, move |table, now| {
            Ok(rules::look(table.session(&blob)?.as_ref(), now))
        })
        .await
    }

    async fn take(&self, claim: &Claim) -> Result<Option<UploadSession>, StateError> {
        // Most blobs have no row, and looking costs no write.
        let (there, wanted) = (claim.blob.clone(), claim.clone());
        let looked = self.run(Access::Read, move |table, _| table.session(&there));
        if looked.await?.is_none() {
            return Ok(None);
        }
        self.run(Access::Write, move |table, now| {
            let row = table.session(&wanted.blob)?;
            let (change, taken) = rules::take(row.as_ref(), &wanted, now);
            apply(table, &wanted.blob, &change)?;
            Ok(taken)
        })
        .await
    }

    async fn store(&self, claim: &Claim, session: &UploadSession) -> Result<Stored, StateError> {
        let (claim, session) = (claim.clone(), session.clone());
        self.run(Access::Write, move |table, now| {
            let row = table.session(&claim.blob)?;
            let (change, stored) = rules::store(row.as_ref(), &claim, &session, now);
            apply(table, &claim.blob, &change)?;
            Ok(stored)
        })
        .await
    }

    async fn renew(&self, claim: &Claim) -> Result<Stored, StateError> {
        let claim = claim.clone();
        self.run(Access::Write, move |table, now| {
            let row = table.session(&claim.blob)?;
            let (change, stored) = rules::renew(row.as_ref(), &claim, now);
            apply(table, &claim.blob, &change)?;
            Ok(stored)
        })
        .await
    }

    fn drop_session(&self, claim: &Claim) {
        let claim = claim.clone();
        self.post(move |table, _| {
            let change = rules::finish(table.session(&claim.blob)?.as_ref(), &claim);
            apply(table, &claim.blob, &change)
        });
    }

    fn let_go(&self, claim: &Claim) {
        let claim = claim.clone();
        self.post(move |table, now| {
            let change = rules::let_go(table.session(&claim.blob)?.as_ref(), &claim, now);
            apply(table, &claim.blob, &change)
        });
    }

    async fn list(&self) -> Result<Vec<Listed>, StateError> {
        self.run(Access::Read, |table, now| {
            let rows = table.sessions()?.into_iter();
            let rows = rows.filter(|(_, row)| !now.outlived(row));
            Ok(rows
                .map(|(blob, row)| Listed {
                    blob,
                    size: row.size,
                    acknowledged: row.session.acknowledged(),
                    opened: time(row.opened),
                    touched: time(row.touched),
                    in_use: now.in_use(&row),
                })
                .collect())
        })
        .await
    }

    async fn remove(&self, blob: &BlobKey) -> Result<Removed, StateError> {
        let blob = blob.clone();
        self.run(Access::Write, move |table, now| {
            let (change, removed) = rules::remove(table.session(&blob)?.as_ref(), now);
            apply(table, &blob, &change)?;
            Ok(removed)
        })
        .await
    }
}
