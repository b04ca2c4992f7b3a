// SPDX-License-Identifier: MIT
// Tensor<T>: a dense row-major array on a device. Copies share storage, clone() does not; reshape() and rows() are
// views. T: float, double (differentiable), int32, int64, bytes. And submit(), the one way to start a kernel.
#pragma once

#include <hwnas/core/device.hpp>
#include <hwnas/core/shape.hpp>
#include <hwnas/cpu/copy.hpp>
#include <hwnas/cpu/tiles.hpp>

#include <span>
#include <vector>

namespace hwnas {

/// One block of device memory: owned, a part of a larger one, or a place in a recorded program.
class Storage {
public:
    /// Allocates `bytes` on `device`, or takes a place in the recording that stands on this thread. Throws
    /// std::bad_alloc or Error where the device has no memory.
    Storage(Device device, std::size_t bytes)
        : device_(std::move(device)), bytes_(bytes), recording_(Recording::active()) {
        if (recording_) {
            address_ = recording_->place(bytes);
            return;
        }
        const std::size_t size = std::max<std::size_t>(bytes, 1);
        address_ = device_.backend().allocate(size);
        place_ = std::make_shared<Place>(std::shared_ptr<void>(
            address_, [on = device_, size](void* memory) { on.backend().release(memory, size); }));
    }
    ~Storage() {
        if (recording_) recording_->vacate(address_, bytes_);
    }
    Storage(const Storage&) = delete;
    Storage& operator=(const Storage&) = delete;

    /// The address on the device; a recording takes note that it is used.
    void* address() const {
        if (recording_) return recording_->resolve(address_);
        if (const auto& recording = Recording::active()) recording->touch(address_, bytes_, place_);
        return address_;
    }
    /// Size in bytes, as asked for.
    std::size_t bytes() const { return bytes_; }
    /// The device it lies on.
    const Device& device() const { return device_; }
    /// Whether it belongs to a step that is still being recorded, so that its address is not final.
    bool placed_in_recording() const { return recording_ && !recording_->finished(); }

    /// Moves to `offset` bytes into `block`, on the same device; contents are the caller's business, all tensors on
    /// this storage follow. Throws Error for a value of a recorded step.
    void rebind(const std::shared_ptr<Storage>& block, std::size_t offset) {
        require(place_ && block->place_, "storage: a value of a recorded step cannot be moved");
        place_->left = true;
        place_ = std::make_shared<Place>(block->place_->memory);
        address_ = static_cast<char*>(block->address_) + offset;
    }

private:
    Device device_;
    void* address_ = nullptr;
    std::size_t bytes_ = 0;
    std::shared_ptr<Recording> recording_;
    std::shared_ptr<Place> place_;
};

/// A dense row-major array of numbers T on a device: a handle, whose copies and views share the memory.
template <class T>
class Tensor {
public:
    Tensor() = default;
    /// A tensor of unspecified contents.
    static Tensor empty(const Shape& shape, const Device& device) {
        Tensor t;
        t.shape_ = shape;
        t.storage_ = std::make_shared<Storage>(device, static_cast<std::size_t>(shape.elements()) * sizeof(T));
        return t;
    }
    /// A copy of values in host memory; throws Error where their number is not that of the shape. Inside a recorded
    /// step this makes a constant of the program.
    static Tensor from(std::span<const T> values, const Shape& shape, const Device& device) {
        require(static_cast<std::int64_t>(values.size()) == shape.elements(), "tensor: {} values for shape {}",
                values.size(), shape);
        const auto recording = std::exchange(Recording::active(), nullptr);
        Tensor t = empty(shape, device);
        Recording::active() = recording;
        if (!values.empty()) device.backend().upload(t.data(), values.data(), values.size_bytes());
        if (recording) recording->retain(t.storage_);
        return t;
    }
    /// A copy of values in host memory; throws Error where their number is not that of the shape.
    static Tensor from(const std::vector<T>& values, const Shape& shape, const Device& device) {
        return from(std::span<const T>(values), shape, device);
    }
    /// A tensor with all elements `value`.
    static Tensor full(const Shape& shape, T value, const Device& device) {
        return from(std::vector<T>(static_cast<std::size_t>(shape.elements()), value), shape, device);
    }
    /// A tensor of rank 0, one number: how steps, temperatures and learning rates lie on the device.
    static Tensor scalar(T value, const Device& device) { return full({}, value, device); }

    /// Whether it has storage; a default-constructed tensor has none.
    bool defined() const { return storage_ != nullptr; }
    /// Its extents, outermost first.
    const Shape& shape() const { return shape_; }
    /// Number of elements.
    std::int64_t elements() const { return shape_.elements(); }
    /// Size of its elements in bytes.
    std::size_t bytes() const { return static_cast<std::size_t>(elements()) * sizeof(T); }
    /// The device it lies on; throws Error where it is undefined.
    const Device& device() const {
        require(defined(), "tensor: no value (default-constructed)");
        return storage_->device();
    }
    /// Address of the first element, on the device; only valid to read on the host where the device is a CPU.
    T* data() const {
        T* const memory = reinterpret_cast<T*>(static_cast<char*>(storage_->address()) + offset_);
        if (const auto& recording = Recording::active()) recording->reach(memory, bytes());
        return memory;
    }
    /// Its memory, shared with copies and views.
    const std::shared_ptr<Storage>& storage() const { return storage_; }

    /// A copy of the values in host memory, once all calls before have taken effect; throws Error in a recording.
    std::vector<T> to_vector() const {
        readable();
        std::vector<T> values(static_cast<std::size_t>(elements()));
        if (!values.empty()) device().backend().download(values.data(), data(), bytes());
        return values;
    }
    /// The value of a tensor with one element; throws Error for any other number of elements.
    T item() const {
        readable();
        require(elements() == 1, "tensor: item() of a tensor of shape {}", shape_);
        T value;
        device().backend().download(&value, data(), sizeof(T));
        return value;
    }
    /// Overwrites all elements from host memory; throws Error where their number differs, and in a recording.
    void assign(std::span<const T> values) const {
        readable();
        require(static_cast<std::int64_t>(values.size()) == elements(), "tensor: {} values assigned to shape {}",
                values.size(), shape_);
        if (!values.empty()) device().backend().upload(data(), values.data(), values.size_bytes());
    }
    /// Overwrites all elements from host memory; throws Error where their number differs, and in a recording.
    void assign(const std::vector<T>& values) const { assign(std::span<const T>(values)); }
    /// Overwrites all elements by one value.
    void assign(T value) const {
        assign(std::span<const T>(std::vector<T>(static_cast<std::size_t>(elements()), value)));
    }
    /// A copy with memory of its own, by way of the host.
    Tensor clone() const { return from(to_vector(), shape_, device()); }
    /// The same memory under another shape; throws Error where that has another number of elements.
    Tensor reshape(const Shape& shape) const {
        require(shape.elements() == elements(), "reshape: {} has {} elements, {} has {}", shape_, elements(), shape,
                shape.elements());
        Tensor t = *this;
        t.shape_ = shape;
        return t;
    }
    /// Rows [begin, begin + count) of the first dimension, sharing memory; throws Error where they are not there.
    Tensor rows(std::int64_t begin, std::int64_t count) const {
        require(shape_.rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= shape_[0],
                "rows: {} to {} of a tensor of shape {}", begin, begin + count, shape_);
        std::array<std::int64_t, Shape::max_rank> extents{};
        for (int i = 0; i < shape_.rank(); ++i) extents[static_cast<std::size_t>(i)] = shape_[i];
        const std::int64_t row = shape_[0] ? elements() / shape_[0] : 0;
        extents[0] = count;
        Tensor t = *this;
        t.shape_ = Shape(std::span<const std::int64_t>(extents.data(), static_cast<std::size_t>(shape_.rank())));
        t.offset_ += static_cast<std::size_t>(begin * row) * sizeof(T);
        return t;
    }

private:
    void readable() const {
        require(defined(), "tensor: no value (default-constructed)");
        require(!storage_->placed_in_recording(),
                "tensor: a value of a recorded step is read or written before the step has run; keep the tensor and "
                "read it after Program::run()");
    }
    std::shared_ptr<Storage> storage_;
    Shape shape_;
    std::size_t offset_ = 0;
};

namespace detail {
template <class S>
struct is_double : std::false_type {};
template <template <class> class S>
struct is_double<S<double>> : std::true_type {};
}  // namespace detail

/// Runs the kernel of contract struct s on a device, or appends it to the recording that stands on this thread. For
/// those who write ops; docs/adding_an_op.md.
template <class S>
void submit(const Device& device, const S& s) {
    static_assert(std::is_trivially_copyable_v<S> &&
                      contract::Calls<float>::index_of<S>() + contract::Calls<double>::index_of<S>() > -2,
                  "not a struct of contract.hpp's closed list");
    constexpr bool in_double = detail::is_double<S>::value;
    using T = std::conditional_t<in_double, double, float>;
    constexpr int index = contract::Calls<T>::template index_of<S>();
    Call call{.payload = &s,
              .index = index,
              .is_double = in_double,
              .name = S::name,
              .writes = S::writes,
              .pointers = S::writes + S::reads,
              .bytes = sizeof(S),
              .run_on_cpu = cpu::kernel_function<S, T, index>(),
              .tiling = cpu::tiles::tiling<S>()};
    const Guard guard = GuardScope::current();
    if (const auto& recording = Recording::active()) return recording->append(device, call, guard);
    device.backend().run(call, guard);
}

}  // namespace hwnas
