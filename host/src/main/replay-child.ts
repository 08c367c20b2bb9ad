// Owns the process in which recordings are replayed: it gets one request, tells of its progress, sends one answer, and ends. Its parent limits its heap and
// its time, so whatever files and modules hold happens here.
import './v8-flags.js';
import { MeshError } from '@infermesh/proto';
import { type ReplayRequest, runReplay } from '../recorder/replay/run-replay.js';
import type { FromReplay } from './replay-service.js';

const send = (message: FromReplay): void => void process.send?.(message);

async function answer(request: ReplayRequest): Promise<FromReplay> {
	try {
		const report = await runReplay(request, (decisions) => send({ kind: 'progress', decisions }));
		return { kind: 'report', report };
	} catch (error) {
		if (!(error instanceof MeshError)) return { kind: 'error', code: '', message: String(error) };
		const { code, message, hint, where } = error;
		return { kind: 'error', code, message, hint, where };
	}
}

// Listens on after its one message: the channel keeps it alive until the parent has read the answer and disconnects.
process.on('message', (request: ReplayRequest) => {
	void answer(request).then(send);
});
