// Owns the engine flags of meshd. Imported before anything that compiles WebAssembly. Without the baseline compiler a module's code is
// optimised at once: no tier-up jitter in decisions, and a loop's interrupt check is never folded into a tier-up budget.
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--no-liftoff');
setFlagsFromString('--no-wasm-lazy-compilation');
// Bodies lie outside the JavaScript heap. By default V8 marks the whole heap for every few megabytes of them; counted with the rest, they start a collection when
// heap and bodies together have grown by as much as is worth one. Measured with prompts of 400 KB in an unbroken run: collections
// took 2 ms a request, and take 0.6 so; after pauses they come back (docs/benchmarks.md).
setFlagsFromString('--external-memory-accounted-in-global-limit');
