import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import type { MeshConfig } from '../config/schema.js';
import { testCertificate } from '../router/testing/certificate.js';
import { readTlsFiles } from './tls-files.js';

test('certificates of the data plane are read and checked before anything listens', async (t) => {
	const folder = mkdtempSync(path.join(tmpdir(), 'tls-files-'));
	t.teardown(() => rmSync(folder, { recursive: true }));
	const file = (name: string, text: string): string => {
		const at = path.join(folder, name);
		writeFileSync(at, text);
		return at;
	};
	const [one, other] = await Promise.all([testCertificate(), testCertificate()]);
	const [cert, key, wrong, ca] = [
		file('cert', one.cert),
		file('key', one.key),
		file('other', other.key),
		file('ca', one.ca),
	] as const;
	const read = (tls: object, upstream: object): unknown =>
		readTlsFiles({ tls, upstream } as unknown as MeshConfig['data']);
	t.deepEqual(read({}, {}), { port: undefined, upstream: {} });
	t.deepEqual(read({ cert_file: cert, key_file: key }, { ca_file: ca, cert_file: cert, key_file: key }), {
		port: { cert: one.cert, key: one.key },
		upstream: { ca: one.ca, cert: one.cert, key: one.key },
	});
	const code = 'IM_CONFIG_TLS_FILES';
	t.throws(() => read({ cert_file: cert, key_file: wrong }, {}), { code });
	t.throws(() => read({ cert_file: path.join(folder, 'none'), key_file: key }, {}), { code });
	t.throws(() => read({}, { ca_file: cert, cert_file: ca, key_file: ca }), { code });
});
