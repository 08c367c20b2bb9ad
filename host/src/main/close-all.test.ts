import test from 'ava';
import { closeAll } from './close-all.js';

test('a part that fails to end keeps none of the others from ending', async (t) => {
	const ended: string[] = [];
	const failures: unknown[] = [];
	await closeAll(
		[
			() => void ended.push('first'),
			() => Promise.reject(new Error('rejects')),
			() => {
				throw new Error('throws');
			},
			async () => void ended.push('last'),
		],
		(error) => failures.push(String(error)),
	);
	t.deepEqual(ended, ['first', 'last']);
	t.deepEqual(failures, ['Error: rejects', 'Error: throws']);
});
