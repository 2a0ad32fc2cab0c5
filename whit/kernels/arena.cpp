// PyTorch's larger CPU tensors from one range of addresses whose pages stay with the process: a page that the system gives
// anew is cleared and mapped first, which costs a training step a tenth of its time.

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <mutex>
#include <set>

namespace {

constexpr size_t LEAST = 1 << 16;  // bytes; smaller tensors are left to the system's own lists
constexpr size_t GRAIN = 1 << 16;  // as large as any system's pages, so that no two tensors share one

// Best fit: the smallest hole that is large enough, the lowest of equals; a hole grows by its neighbours.
struct Arena final : c10::Allocator {
    char *base = nullptr;
    size_t size = 0, depth = 0;
    std::mutex mutex;
    std::map<char *, size_t> holes, taken;
    std::set<std::pair<size_t, char *>> by_size;

    void add(char *at, size_t bytes) { holes[at] = bytes, by_size.insert({bytes, at}); }
    void drop(std::map<char *, size_t>::iterator hole) {
        by_size.erase({hole->second, hole->first}), holes.erase(hole);
    }

    void *take(size_t bytes) {
        bytes = (bytes + GRAIN - 1) / GRAIN * GRAIN;
        const std::lock_guard<std::mutex> lock(mutex);
        const auto best = by_size.lower_bound({bytes, nullptr});
        if (best == by_size.end()) return nullptr;
        const auto [available, at] = *best;
        drop(holes.find(at));
        if (available > bytes) add(at + bytes, available - bytes);
        taken[at] = bytes;
        return at;
    }

    void give(char *at) {
        const std::lock_guard<std::mutex> lock(mutex);
        size_t bytes = taken[at];
        taken.erase(at);
        if (!depth) madvise(at, bytes, MADV_DONTNEED);
        auto next = holes.lower_bound(at);
        if (next != holes.end() && next->first == at + bytes) bytes += next->second, drop(next);
        auto before = holes.lower_bound(at);
        if (before != holes.begin() && (--before, before->first + before->second == at))
            at = before->first, bytes += before->second, drop(before);
        add(at, bytes);
    }

    bool holds(const void *at) const { return at >= base && at < base + size; }

    c10::DataPtr allocate(size_t bytes) override;
    c10::DeleterFnPtr raw_deleter() const override;
    void copy_data(void *to, const void *from, size_t bytes) const override { memcpy(to, from, bytes); }
};

Arena &arena() {  // never destroyed: tensors may outlive everything
    static Arena &only = *new Arena;
    return only;
}

void release(void *at) {
    if (arena().holds(at)) arena().give(static_cast<char *>(at));
    else c10::free_cpu(at);
}

c10::DataPtr Arena::allocate(size_t bytes) {
    void *at = bytes < LEAST ? nullptr : take(bytes);
    if (!at) at = c10::alloc_cpu(bytes);
    return {at, at, &release, c10::Device(c10::DeviceType::CPU)};
}

c10::DeleterFnPtr Arena::raw_deleter() const { return &release; }

}  // namespace

// From here on, until the matching `arena_close`. bytes: how many addresses are set aside, without memory; the first call's
// count. is_open: 0 where the system does not give them.
extern "C" void arena_open(int64_t bytes, int *is_open) {
    Arena &a = arena();
    const std::lock_guard<std::mutex> lock(a.mutex);
    if (!a.base) {
        void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) return;
        madvise(at, bytes, MADV_HUGEPAGE);
        a.base = static_cast<char *>(at), a.size = bytes;
        a.add(a.base, bytes);
    }
    if (!a.depth++) c10::SetCPUAllocator(&a, 0);
    *is_open = 1;
}

extern "C" void arena_close() {
    Arena &a = arena();
    const std::lock_guard<std::mutex> lock(a.mutex);
    if (--a.depth) return;
    c10::SetCPUAllocator(c10::GetDefaultCPUAllocator(), 0);
    for (const auto &[at, bytes] : a.holes) madvise(at, bytes, MADV_DONTNEED);
}
