// Owns what an operator asks of the group of coordinators by way of a member: handing leadership over, and a snapshot of the state, read in pieces.
import type { GroupControl } from '../fabric.js';
import type { ConsensusThread } from './consensus-client.js';
import type { SnapshotBegun } from './consensus-protocol.js';

export function groupControl(consensus: ConsensusThread, nodeId: string): GroupControl {
	return {
		transferLeadership: async (to) => (await consensus.call<string | undefined>({ call: 'transfer', id: to })) ?? '',
		leads: () => consensus.state?.leader === nodeId,
		async saveSnapshot() {
			const begun = await consensus.call<SnapshotBegun>({ call: 'beginSnapshot' });
			return {
				...begun,
				pieces: snapshotPieces(consensus, begun.snapshot),
				close: () => consensus.call<void>({ call: 'endSnapshot', snapshot: begun.snapshot }),
			};
		},
	};
}

async function* snapshotPieces(consensus: ConsensusThread, snapshot: number): AsyncGenerator<Uint8Array> {
	for (;;) {
		const piece = await consensus.call<Uint8Array | undefined>({ call: 'snapshotPiece', snapshot });
		if (piece === undefined) return;
		yield piece;
	}
}
