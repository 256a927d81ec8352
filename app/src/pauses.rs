//! Which hosts want no requests, and whose turn it is, told from run to run in the state file.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use push::State;
use registry::PauseBoard;

/// The state as a board. What goes wrong with the file costs a refused request at the most.
#[derive(Clone, Debug)]
pub(crate) struct SharedPauses(pub(crate) State);

#[async_trait]
impl PauseBoard for SharedPauses {
    async fn until(&self, whom: &str) -> Option<SystemTime> {
        self.0.pause_until(whom).await.ok().flatten()
    }

    async fn pause(&self, whom: &str, until: SystemTime) {
        // Whole milliseconds are kept: not one too few.
        let until = until + Duration::from_millis(1);
        let _ = self.0.pause(whom, until).await;
    }

    async fn turns(&self, whom: &str, length: Duration) -> Option<SystemTime> {
        self.0.take_turns(whom, length).await.ok()
    }
}
