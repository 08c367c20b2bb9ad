//! The Rust SDK of InferMesh strategies: one source for WebAssembly modules and native libraries. It depends on no crate, allocates nothing, and all
//! `unsafe` is in `raw.rs`, in the layout that `abi.rs` asserts, and around the machine's instructions in `lanes`; what a strategy sees are slices, references and numbers.
//!
//! ```ignore
//! #![no_std]
//! mod manifest; // generated from strategy.yaml by the build
//! use infermesh_strategy::{Frame, Status};
//!
//! fn rank(frame: &mut Frame) -> Status {
//!     let load = manifest::columns::load(&frame.rows);
//!     let cost = frame.scratch(0);
//!     cost.copy_from_slice(load);
//!     frame.rank_lowest(cost, manifest::TOP_K)
//! }
//!
//! infermesh_strategy::strategy!(manifest: manifest::MANIFEST, rank: rank);
//! ```
//!
//! A panic is a trap in WebAssembly. In a native library it is the status `error`, with its words in the log where the manifest has `log_bytes`.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]

#[allow(unsafe_code)]
pub mod abi;
mod answer;
mod export;
mod frame;
pub mod lanes;
mod log;
mod math;
#[cfg(not(target_arch = "wasm32"))]
mod panics;
mod plan;
mod random;
mod ranking;
#[doc(hidden)]
#[allow(unsafe_code)]
pub mod raw;
mod scoring;
mod state;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Status};
pub use frame::{age_ms, Frame, Observation, Rows};
pub use log::Log;
pub use math::{exp32, log32, max32, min32};
pub use plan::PlanFrame;
pub use random::{hash64, mix32, rendezvous, Random};
pub use ranking::{allowed, BLOCK_ROWS, NEVER};
pub use scoring::{
    add_normalised, add_weighted, credit_hits, fill_costs, find_hit, has_lora, highest_of, lora_rows, lowest_of,
    tier_share,
};
pub use state::{State, StateView};

/// Ends a module without a word: the host sees a trap and answers the request itself.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
