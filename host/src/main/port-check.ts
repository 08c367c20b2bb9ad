// Owns asking whether the data port is free before the workers listen on it. They share it with SO_REUSEPORT, which lets a second mesh of the
// same user share it too and take half of the first one's requests, without an error. A socket that does not share finds that out.
import { createServer } from 'node:net';

/** Rejects with the system's error (`EADDRINUSE`, `EACCES`, …) when `port` of `host` cannot be had alone. Port 0 is always free. */
export async function checkPort(host: string, port: number): Promise<void> {
	if (port === 0) return;
	const server = createServer();
	await new Promise<void>((resolve, reject) => {
		server.once('error', reject);
		server.listen({ host, port }, resolve);
	});
	await new Promise<void>((resolve) => {
		server.close(() => resolve());
	});
}
