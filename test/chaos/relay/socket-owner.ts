// Owns the question which process opened a connection on this machine, answered by the kernel's own tables (proc(5)): nodes that share one address can be
// told apart by nothing else.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** `127.0.0.1` as /proc/net/tcp writes it. */
function hexOf(host: string): string {
	return Buffer.from(host.split('.').map(Number).reverse()).toString('hex').toUpperCase();
}

/** The inode of the socket whose own end is `host:port`. */
function inodeOf(host: string, port: number): string | undefined {
	const local = `${hexOf(host)}:${port.toString(16).toUpperCase().padStart(4, '0')}`;
	for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
		const fields = line.trim().split(/\s+/);
		if (fields[1] === local && fields[9] !== '0') return fields[9];
	}
	return undefined;
}

function holds(pid: number, inode: string): boolean {
	const wanted = `socket:[${inode}]`;
	try {
		return readdirSync(`/proc/${pid}/fd`).some((name) => {
			try {
				return readlinkSync(`/proc/${pid}/fd/${name}`) === wanted;
			} catch {
				return false;
			}
		});
	} catch {
		return false;
	}
}

/** The first of `pids` that holds the socket with this own end; undefined when none does. */
export function ownerOf(host: string, port: number, pids: readonly number[]): number | undefined {
	const inode = inodeOf(host, port);
	return inode === undefined ? undefined : pids.find((pid) => holds(pid, inode));
}
