//! The engine against a recording double: whole conversations, under a paused clock.

#[cfg(test)]
mod fixture;

#[cfg(test)]
mod accounting;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod events;
#[cfg(test)]
mod flight;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod heal;
#[cfg(test)]
mod indexes;
#[cfg(test)]
mod learning;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod mounts;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod order;
#[cfg(test)]
mod preflight;
#[cfg(test)]
mod presence;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod referrers;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod seam;
#[cfg(test)]
mod subsets;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod verify;
