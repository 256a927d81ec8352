//! Sources, every kind of them: one conformance suite over all, then what is particular.

#[cfg(test)]
mod choice;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod fixture;
