// Owns the engine flags of meshd. Imported before anything that compiles WebAssembly. Without the baseline compiler a module's code is
// optimised at once: no tier-up jitter in decisions, and a loop's interrupt check is never folded into a tier-up budget.
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--no-liftoff');
setFlagsFromString('--no-wasm-lazy-compilation');
