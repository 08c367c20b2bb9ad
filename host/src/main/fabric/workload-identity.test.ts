// Which of the identities of a Workload API a node takes at its start and later, and what it is told when none is its own.
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
	CertificateAuthority,
	generateNodeKey,
	IdentityHolder,
	makeIdentity,
	serveWorkloadApi,
} from '@infermesh/fabric';
import test, { type ExecutionContext } from 'ava';
import { systemClock, systemRandom } from '../clock.js';
import { NodeFolder } from './node-folder.js';
import { openWorkloadIdentity } from './workload-identity.js';

const authority = await CertificateAuthority.create('mesh.test', systemClock.wallMs());

async function identityOf(nodeId: string) {
	const keys = await generateNodeKey();
	const nowMs = systemClock.wallMs();
	return makeIdentity(
		await authority.issueNode(nodeId, keys.publicKey, nowMs),
		keys.privateKey,
		authority.bundle,
		nowMs,
	);
}

async function served(t: ExecutionContext, nodeId: string) {
	const root = mkdtempSync(path.join(tmpdir(), 'infermesh-workload-'));
	const holder = new IdentityHolder(await identityOf(nodeId));
	const api = await serveWorkloadApi(holder, path.join(root, 'api.sock'));
	t.teardown(() => {
		api.close();
		rmSync(root, { recursive: true });
	});
	const folder = new NodeFolder(path.join(root, 'node'));
	const open = () =>
		openWorkloadIdentity({
			endpoint: api.endpoint,
			trustDomain: 'mesh.test',
			folder,
			clock: systemClock,
			random: systemRandom(),
			log: () => undefined,
			stopped: () => false,
		});
	return { folder, open };
}

test('a node remembers who it is, and refuses to start as another', async (t) => {
	const nodeId = randomUUID();
	const { folder, open } = await served(t, nodeId);
	const source = await open();
	source.close();
	t.is(folder.nodeId(), nodeId);
	const again = await open();
	again.close();
	const elsewhere = randomUUID();
	folder.setNodeId(elsewhere);
	await t.throwsAsync(open(), { code: 'IM_FABRIC_NODE_ID', message: new RegExp(`${elsewhere} and ${nodeId}`) });
	t.is(folder.nodeId(), elsewhere);
});
