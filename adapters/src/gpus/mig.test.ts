// Profiles of MIG by the sizes of slices, where a source names none.
import test from 'ava';
import { profileOfSlice, shareOfProfile } from './mig.js';
import { gpuAdapters } from './sources.js';

test('sizes tell the profile where memory alone would not', (t) => {
	const a100 = { product: 'NVIDIA A100-SXM4-80GB', deviceVramMib: 81_920 };
	const pcie = { product: 'NVIDIA H100 PCIe', deviceVramMib: 81_559 };
	const b200 = { product: 'NVIDIA B200', deviceVramMib: 183_359 };
	const h100 = { product: 'NVIDIA H100 80GB HBM3', deviceVramMib: 81_559 };
	const cases = [
		[{ ...a100, multiprocessors: 14, vramMib: 9728 }, '1g.10gb', 1 / 7],
		[{ ...a100, multiprocessors: 14, vramMib: 19_968 }, '1g.20gb', 1 / 7],
		[{ ...a100, multiprocessors: 28, vramMib: 19_968 }, '2g.20gb', 2 / 7],
		[{ ...a100, multiprocessors: 42, vramMib: 40_192 }, '3g.40gb', 3 / 7],
		[{ ...a100, multiprocessors: 56, vramMib: 40_192 }, '4g.40gb', 4 / 7],
		[{ ...a100, multiprocessors: 98, vramMib: 81_152 }, '7g.80gb', 1],
		[{ ...a100, deviceVramMib: 40_960, multiprocessors: 14, vramMib: 4864 }, '1g.5gb', 1 / 7],
		[{ ...h100, multiprocessors: 26, vramMib: 20_096 }, '1g.20gb', 1 / 7],
		[{ ...h100, multiprocessors: 32, vramMib: 20_096 }, '2g.20gb', 2 / 7],
		[{ ...h100, multiprocessors: 60, vramMib: 40_448 }, '3g.40gb', 3 / 7],
		[{ ...h100, multiprocessors: 64, vramMib: 40_448 }, '4g.40gb', 4 / 7],
		[{ ...pcie, multiprocessors: 14, vramMib: 9984 }, '1g.10gb', 1 / 7],
		[{ ...pcie, multiprocessors: 14, vramMib: 20_091 }, '1g.20gb', 1 / 7],
		[{ ...pcie, multiprocessors: 30, vramMib: 20_091 }, '2g.20gb', 2 / 7],
		[{ ...pcie, multiprocessors: 46, vramMib: 40_448 }, '3g.40gb', 3 / 7],
		[{ ...pcie, multiprocessors: 62, vramMib: 40_448 }, '4g.40gb', 4 / 7],
		[{ ...pcie, multiprocessors: 114, vramMib: 81_152 }, '7g.80gb', 1],
		[{ ...b200, multiprocessors: 18, vramMib: 20_992 }, '1g.23gb', 1 / 7],
		[{ ...b200, multiprocessors: 18, vramMib: 22_528 }, '1g.23gb', 1 / 7],
		[{ ...b200, multiprocessors: 30, vramMib: 45_312 }, '1g.45gb', 1 / 7],
		[{ ...b200, multiprocessors: 36, vramMib: 45_312 }, '2g.45gb', 2 / 7],
		[{ product: 'NVIDIA H200', deviceVramMib: 143_771, multiprocessors: 16, vramMib: 16_384 }, '1g.18gb', 1 / 7],
		[{ product: 'NVIDIA A30', deviceVramMib: 24_576, multiprocessors: 28, vramMib: 12_032 }, '2g.12gb', 2 / 4],
	] as const;
	for (const [size, name, shareRatio] of cases) {
		t.deepEqual(profileOfSlice(size), { name, shareRatio });
		t.is(shareOfProfile(name, size.product), shareRatio, `${name} by its name`);
	}
});

test('what is not known is not guessed', (t) => {
	const size = { product: 'NVIDIA A100-SXM4-80GB', deviceVramMib: 81_920, multiprocessors: 14, vramMib: 9728 };
	t.is(profileOfSlice({ ...size, product: 'NVIDIA X1' }), undefined);
	t.is(profileOfSlice({ ...size, product: 'NVIDIA B200', multiprocessors: 54 }), undefined);
	t.is(profileOfSlice({ ...size, product: 'NVIDIA GB200', multiprocessors: 18 }), undefined);
	t.is(profileOfSlice({ ...size, multiprocessors: 15 }), undefined);
	t.is(profileOfSlice({ ...size, multiprocessors: undefined }), undefined);
	t.deepEqual(profileOfSlice({ ...size, vramMib: undefined }), { shareRatio: 1 / 7, name: undefined });
	t.deepEqual(profileOfSlice({ ...size, deviceVramMib: 60_000 }), { shareRatio: 1 / 7, name: undefined });
});

/** A device with slices: GPU instance, multiprocessors, MiB. */
function xml(
	product: string,
	slices: readonly (readonly [instance: number, multiprocessors: number, mib: number])[],
): string {
	const devices = slices.map(
		([instance, multiprocessors, mib], at) => `<mig_device>
			<index>${at}</index><gpu_instance_id>${instance}</gpu_instance_id><compute_instance_id>${at}</compute_instance_id>
			<device_attributes><shared><multiprocessor_count>${multiprocessors}</multiprocessor_count></shared></device_attributes>
			<fb_memory_usage><total>${mib} MiB</total><used>1 MiB</used></fb_memory_usage>
		</mig_device>`,
	);
	return `<?xml version="1.0" ?><nvidia_smi_log><driver_version>1</driver_version><gpu id="0">
		<product_name>${product}</product_name><uuid>GPU-a</uuid><fb_memory_usage><total>81920 MiB</total></fb_memory_usage>
		<mig_devices>${devices.join('')}</mig_devices></gpu></nvidia_smi_log>`;
}

function slicesOf(text: string): unknown[] {
	const { devices } = gpuAdapters.nvidia_smi_xml.read(text, { atMs: 1, node: 'n1' });
	return devices
		.slice(1)
		.map(({ gpuUuid, migProfile, shareRatio, unread }) => [gpuUuid, migProfile, shareRatio, unread.length]);
}

test('nvidia-smi’s XML: slices have the share of their profile', (t) => {
	const a100 = xml('NVIDIA A100-SXM4-80GB', [
		[1, 42, 40_192],
		[7, 14, 9728],
	]);
	t.deepEqual(slicesOf(a100), [
		['GPU-a/gi/1', '3g.40gb', 3 / 7, 0],
		['GPU-a/gi/7', '1g.10gb', 1 / 7, 0],
	]);
	t.deepEqual(slicesOf(xml('NVIDIA X1', [[3, 20, 20_480]])), [['GPU-a/gi/3', undefined, 0.25, 1]]);
});

test('nvidia-smi’s XML: compute instances of one slice are the slice together', (t) => {
	const cut = xml('NVIDIA A100-SXM4-80GB', [
		[1, 14, 40_192],
		[1, 28, 40_192],
	]);
	const slices = slicesOf(cut);
	t.deepEqual(new Set(slices.map((slice) => JSON.stringify(slice))).size, 1);
	t.deepEqual(slices[0], ['GPU-a/gi/1', '3g.40gb', 3 / 7, 0]);
});
