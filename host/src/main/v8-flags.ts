// Owns the engine flags of meshd. Imported before anything that compiles WebAssembly. Without the baseline compiler a module's code is
// optimised at once: no tier-up jitter in decisions, and a loop's interrupt check is never folded into a tier-up budget.
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--no-liftoff');
setFlagsFromString('--no-wasm-lazy-compilation');
// Bodies lie outside the JavaScript heap. By default V8 marks the whole heap for every few megabytes of them; counted with the rest, they start a collection when
// heap and bodies together have grown by as much as is worth one.
setFlagsFromString('--external-memory-accounted-in-global-limit');
// How much that is follows by default from how fast a thread has allocated lately: after a pause of seconds it is a tenth of what lives, a few bodies, and most
// of them would have gone with the young generation. Measured with prompts of 400 KB and pauses of 9 s: a collection for every 24 requests, 2.4 ms of
// V8's helper threads a request; at three times what lives none, and 0.2 ms. V8 itself goes as far as four times.
setFlagsFromString('--heap-growing-percent=200');
