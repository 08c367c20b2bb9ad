// Owns all the real effects of adapters together; the composition root gives the clock and the random bytes.
import type { Clock } from '@infermesh/proto';
import { listenDatagrams } from './datagrams.js';
import { adapterFiles } from './files.js';
import { httpCaller } from './http.js';
import { lineConnector } from './lines.js';
import type { AdapterEffects } from './ports.js';
import { runProgram } from './programs.js';

export function systemEffects(clock: Clock, randomBytes: (count: number) => Uint8Array): AdapterEffects {
	return {
		clock,
		files: adapterFiles(clock),
		http: httpCaller(clock),
		connect: lineConnector(clock),
		datagrams: listenDatagrams,
		run: runProgram,
		randomBytes,
	};
}
