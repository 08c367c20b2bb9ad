import { consensusErrors } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { memberSigns } from './member-signs.js';

test('a coordinator that has failed is done without; one of another cluster is not ready', (t) => {
	t.deepEqual(memberSigns(undefined), { reasons: [], degraded: [] });
	const failed = memberSigns(new MeshError(consensusErrors, 'IM_CONSENSUS_INTERNAL'));
	t.deepEqual(failed.reasons, []);
	t.regex(failed.degraded.join(), /IM_CONSENSUS_INTERNAL/);
	const foreign = memberSigns(new MeshError(consensusErrors, 'IM_CONSENSUS_OTHER_CLUSTER'));
	t.regex(foreign.reasons.join(), /IM_CONSENSUS_OTHER_CLUSTER/);
	t.deepEqual(foreign.degraded, []);
});
