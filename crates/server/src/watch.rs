//! Who is told of every request that ended: the metrics and the access log.

use std::sync::Arc;

use crate::{
    access_log::AccessLog,
    log::{Entry, Observer},
    metrics::Metrics,
};

/// Counts every request, and has it logged if there is an access log.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access_log: Option<AccessLog>,
}

impl Observer for Watch {
    fn ended(&self, entry: &Entry) {
        self.metrics.ended(entry);
        if let Some(log) = &self.access_log
            && !log.log(entry)
        {
            self.metrics.unlogged();
        }
    }
}
