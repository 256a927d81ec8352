//! The engine against a recording double: whole conversations, under a paused clock.

mod fixture;

mod accounting;
mod cancel;
mod errors;
mod events;
mod flight;
mod gate;
mod heal;
mod indexes;
mod manifests;
mod mounts;
mod order;
mod preflight;
mod presence;
mod recording;
mod seam;
mod tags;
mod verify;
