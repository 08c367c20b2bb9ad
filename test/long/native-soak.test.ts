// A short soak of a hostile native strategy in a router process under HTTP traffic (`npm run bench -- native-soak` is the long one): its failures cost no
// request, and leave nothing behind.
import test from 'ava';
import { CONNECTIONS_MORE, CONTROL, SHARED_MAX, soakNative } from '../bench/native-soak.js';

const EACH = 20;
/** What Node's own memory moves by while nothing leaks, MiB; a thousand failures that each left their frame would be more. */
const RSS_MIB = 64;

test('crashes, hangs and wild writes of a native strategy cost no request, and leave nothing behind', async (t) => {
	t.timeout(170_000);
	const phases = await soakNative({ each: EACH, progress: (line) => t.log(line) });
	t.is(phases.length, 4);
	for (const { name, strikes, others, requests, failed, wrong, decided, before, after } of phases) {
		if (name === CONTROL) t.deepEqual([strikes, others], [0, {}]);
		else t.true(strikes >= EACH, `${name}: ${strikes} strikes`);
		t.is(failed, 0, name);
		t.is(wrong, 0, name);
		t.true(decided > 0, `${name}: it decides between its failures`);
		t.true(requests > strikes, name);
		t.true(after.children <= before.children, `${name}: children ${before.children} → ${after.children}`);
		t.true(after.shared <= SHARED_MAX, `${name}: shared memory ${before.shared} → ${after.shared}`);
		t.true(
			after.descriptors <= before.descriptors + CONNECTIONS_MORE,
			`${name}: files ${before.descriptors} → ${after.descriptors}`,
		);
		t.true(after.rssMib < before.rssMib + RSS_MIB, `${name}: RSS ${before.rssMib} → ${after.rssMib} MiB`);
	}
});
