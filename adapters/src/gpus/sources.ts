// Owns the list of GPU adapters, and the command lines of the tools among them.
import type { GpuAdapter, GpuSourceKind } from './adapter.js';
import { amdExporterAdapter } from './amd-exporter.js';
import { dcgmAdapter } from './dcgm.js';
import { nvidiaSmiAdapter } from './nvidia-smi.js';
import { nvidiaSmiXmlAdapter } from './nvidia-smi-xml.js';
import { amdSmiAdapter, rocmSmiAdapter } from './rocm.js';

/** The adapters that read text by the kind of source; NVML is called, not read. */
export const gpuAdapters: Readonly<Record<Exclude<GpuSourceKind, 'nvml'>, GpuAdapter>> = Object.freeze({
	dcgm: dcgmAdapter,
	amd_exporter: amdExporterAdapter,
	nvidia_smi: nvidiaSmiAdapter,
	nvidia_smi_xml: nvidiaSmiXmlAdapter,
	rocm_smi: rocmSmiAdapter,
	amd_smi: amdSmiAdapter,
});

/** Exporters whose pages tell what wrote them. */
const exporters = ['dcgm', 'amd_exporter'] as const;

/** The exporter of GPUs that wrote a page of metrics; undefined for any other page. */
export function detectGpuExporter(page: Uint8Array): (typeof exporters)[number] | undefined {
	return exporters.find((kind) => gpuAdapters[kind].read(page, { atMs: 0, node: '' }).devices.length > 0);
}

/** Programs and arguments of the sources that are tools; `nvidia_smi` depends on what its release knows. */
export const gpuTools: Readonly<
	Partial<Record<GpuSourceKind, { readonly command: string; readonly args: readonly string[] }>>
> = Object.freeze({
	nvidia_smi_xml: { command: 'nvidia-smi', args: ['-q', '-x'] },
	rocm_smi: { command: 'rocm-smi', args: ['-a', '--showmeminfo', 'vram', '--json'] },
	amd_smi: { command: 'amd-smi', args: ['metric', '--json'] },
});
