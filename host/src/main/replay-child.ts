// Owns the process in which recordings are replayed: it gets one request, tells of its progress, sends one answer, and ends. Its parent limits its heap and
// its time, so whatever files and modules hold happens here.
import './v8-flags.js';
import { MeshError } from '@infermesh/proto';
import { runOffPolicy } from '../recorder/off-policy/run-off-policy.js';
import { runReplay } from '../recorder/replay/run-replay.js';
import type { FromReplay, ToReplay } from './replay-service.js';

const send = (message: FromReplay): void => void process.send?.(message);

async function answer({ kind, request }: ToReplay): Promise<FromReplay> {
	try {
		const progress = (decisions: number): void => send({ kind: 'progress', decisions });
		const report = kind === 'replay' ? await runReplay(request, progress) : await runOffPolicy(request, progress);
		return { kind: 'report', report };
	} catch (error) {
		if (!(error instanceof MeshError)) return { kind: 'error', code: '', message: String(error) };
		const { code, message, hint, where } = error;
		return { kind: 'error', code, message, hint, where };
	}
}

// Listens on after its one message: the channel keeps it alive until the parent has read the answer and disconnects.
process.on('message', (request: ToReplay) => {
	void answer(request).then(send);
});
