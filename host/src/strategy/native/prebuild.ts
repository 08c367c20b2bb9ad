// Owns the step of the repository's build that makes addon and sandbox ahead of need, so that loading the first native strategy waits for no compiler. A
// machine without one goes on: it runs all strategies but native ones, and is told which those are. Argument: the folder, where it is another.
import { MeshError } from '@infermesh/proto';
import { buildNativeEngine } from './engine.js';

const [into] = process.argv.slice(2);
try {
	await buildNativeEngine(into === undefined ? {} : { into });
} catch (error) {
	if (!(error instanceof MeshError)) throw error;
	process.stderr.write(`infermesh: native strategies cannot run here yet; all others can. ${error.format()}\n`);
}
