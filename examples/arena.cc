// SPDX-License-Identifier: MIT
//
// The library from C++: an arena of its own, 4 KiB frames and huge pages from it, and an
// audit at the end.
//
//	c++ -std=c++17 examples/arena.cc $(pkg-config --cflags --libs libhvo)

#include <hvo/linux.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

namespace {

struct close_host {
	void operator()(hvo_linux *host) const { hvo_linux_close(host); }
};

using arena = std::unique_ptr<hvo_linux, close_host>;

arena open_arena(std::uint64_t bytes)
{
	hvo_config cfg{};
	cfg.size = sizeof(cfg);
	hvo_linux *host = nullptr;

	cfg.memory_bytes = bytes;
	return arena(hvo_linux_create(&cfg, nullptr, &host) ? nullptr : host);
}

} // namespace

int main()
{
	arena a = open_arena(256u << 20);

	if (!a) {
		std::fputs("no memory for an arena\n", stderr);
		return 1;
	}
	hvo_machine *m = hvo_linux_machine(a.get());
	std::vector<hvo_pfn_t> frames(1000);

	for (auto &pfn : frames)
		if (hvo_alloc_pages(m, HVO_GFP_KERNEL, 0, HVO_NODE_ANY, &pfn))
			return 1;
	static_cast<char *>(hvo_window(m, frames[0], 1))[0] = 'x';
	for (auto pfn : frames)
		if (hvo_put_page(m, pfn))
			return 1;

	const auto mistakes = hvo_machine_audit(m, nullptr, nullptr);

	std::printf("%zu frames there and back, %llu mistakes\n", frames.size(),
		    static_cast<unsigned long long>(mistakes));
	return mistakes != 0;
}
