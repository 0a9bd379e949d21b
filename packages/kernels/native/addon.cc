// The door between JavaScript and the kernels.
//
// Owns the Node-API glue and nothing else: each function unwraps its arguments, calls Executor or Memory, and turns an Error
// into a JavaScript exception. Every environment (main thread, worker) gets its own functions and devices; there is no global
// state. Invariant: a device's native half lives exactly as long as its external value, `close` only empties it.
#include <node_api.h>

#include <cstring>
#include <exception>
#include <memory>
#include <string>

#include "executor.h"

namespace hadal {
namespace {

struct Device {
  std::unique_ptr<Executor> executor;
};

constexpr size_t MAX_ARGUMENTS = 5;

/** The arguments of one call, read by position. */
struct Call {
  napi_env env;
  size_t count = MAX_ARGUMENTS;
  napi_value values[MAX_ARGUMENTS];

  Call(napi_env env_, napi_callback_info info) : env(env_) { napi_get_cb_info(env, info, &count, values, nullptr, nullptr); }

  double number(size_t i) const {
    double x = 0;
    if (napi_get_value_double(env, values[i], &x) != napi_ok) throw Error{"expected a number as argument " + std::to_string(i)};
    return x;
  }

  std::string text(size_t i) const {
    size_t length = 0;
    if (napi_get_value_string_utf8(env, values[i], nullptr, 0, &length) != napi_ok) {
      throw Error{"expected a string as argument " + std::to_string(i)};
    }
    std::string s(length + 1, '\0');
    napi_get_value_string_utf8(env, values[i], &s[0], s.size(), &length);
    s.resize(length);
    return s;
  }

  struct Bytes {
    char* data;
    size_t count;
    size_t element_bytes;
  };
  Bytes array(size_t i) const {
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env, values[i], &type, &length, &data, nullptr, nullptr) != napi_ok) {
      throw Error{"expected a typed array as argument " + std::to_string(i)};
    }
    static const size_t sizes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
    if (static_cast<size_t>(type) >= sizeof sizes / sizeof *sizes) throw Error{"unknown kind of typed array"};
    return {static_cast<char*>(data), length, sizes[type]};
  }

  Executor& executor() const { return *device().executor; }

  Device& device() const {
    void* pointer = nullptr;
    if (napi_get_value_external(env, values[0], &pointer) != napi_ok) throw Error{"expected a device"};
    Device& device = *static_cast<Device*>(pointer);
    if (!device.executor) throw Error{"the device is closed"};
    return device;
  }

  napi_value number_value(double x) const {
    napi_value value;
    napi_create_double(env, x, &value);
    return value;
  }

  napi_value text_value(const std::string& s) const {
    napi_value value;
    napi_create_string_utf8(env, s.data(), s.size(), &value);
    return value;
  }
};

/** Runs `body`; what it throws becomes a JavaScript Error. */
template <napi_value (*body)(Call&)>
napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    Call call(env, info);
    return body(call);
  } catch (const Error& error) {
    napi_throw_error(env, nullptr, error.message.c_str());
  } catch (const std::exception& error) {
    napi_throw_error(env, nullptr, error.what());
  }
  return nullptr;
}

napi_value supported_isas(Call& call) {
  napi_value list;
  napi_create_array(call.env, &list);
  uint32_t count = 0;
  for (const Isa& isa : isas) {
    if (isa.supported()) napi_set_element(call.env, list, count++, call.text_value(isa.name));
  }
  return list;
}

napi_value signatures(Call& call) {
  napi_value list;
  napi_create_array(call.env, &list);
  for (size_t i = 0; i < kernel_names.size(); i++) {
    std::string row = std::string(kernel_names[i]) + " " + kernel_signatures[i];
    napi_set_element(call.env, list, static_cast<uint32_t>(i), call.text_value(row));
  }
  return list;
}

napi_value open(Call& call) {
  std::string name = call.text(0);
  double threads = call.number(1);
  for (const Isa& isa : isas) {
    if (name != isa.name || !isa.supported()) continue;
    auto device = std::make_unique<Device>();
    device->executor = std::make_unique<Executor>(isa, static_cast<int>(threads));
    napi_value external;
    auto finalize = [](napi_env, void* data, void*) { delete static_cast<Device*>(data); };
    if (napi_create_external(call.env, device.get(), finalize, nullptr, &external) != napi_ok) throw Error{"open: no external value"};
    device.release();
    return external;
  }
  throw Error{"this machine or build has no instruction set " + name};
}

napi_value close(Call& call) {
  call.device().executor.reset();
  return nullptr;
}

/** (device, commands, length, whether on this thread alone) */
napi_value execute(Call& call) {
  Executor& executor = call.executor();
  Call::Bytes buffer = call.array(1);
  double length = call.number(2);
  if (buffer.element_bytes != 8 || !(length >= 0 && length <= buffer.count)) throw Error{"execute: not a command buffer"};
  executor.run(reinterpret_cast<const double*>(buffer.data), static_cast<size_t>(length), call.number(3) != 0);
  return nullptr;
}

napi_value allocate(Call& call) { return call.number_value(call.executor().memory.allocate(call.number(1))); }

/** (device, path, first byte, end) */
napi_value map_file(Call& call) {
  return call.number_value(call.executor().memory.map_file(call.text(1).c_str(), call.number(2), call.number(3)));
}

/** (device, handle, first byte, bytes) */
napi_value prefetch(Call& call) {
  call.executor().memory.prefetch(call.number(1), call.number(2), call.number(3));
  return nullptr;
}

napi_value release(Call& call) {
  call.executor().memory.release(call.number(1));
  return nullptr;
}

napi_value size(Call& call) { return call.number_value(static_cast<double>(call.executor().memory.size(call.number(1)))); }

/** (device, handle, offset in elements of the array, array) */
napi_value read(Call& call) {
  Memory& memory = call.executor().memory;
  Call::Bytes into = call.array(3);
  char* from = memory.resolve(call.number(1), call.number(2), static_cast<double>(into.count), into.element_bytes, false);
  std::memcpy(into.data, from, into.count * into.element_bytes);
  return nullptr;
}

napi_value write(Call& call) {
  Memory& memory = call.executor().memory;
  Call::Bytes from = call.array(3);
  char* into = memory.resolve(call.number(1), call.number(2), static_cast<double>(from.count), from.element_bytes, true);
  std::memcpy(into, from.data, from.count * from.element_bytes);
  return nullptr;
}

napi_value bytes_in_use(Call& call) { return call.number_value(static_cast<double>(call.executor().memory.bytes_in_use())); }

napi_value buffers(Call& call) { return call.number_value(static_cast<double>(call.executor().memory.buffers())); }

template <napi_value (*body)(Call&)>
napi_property_descriptor method(const char* name) {
  return {name, nullptr, guarded<body>, nullptr, nullptr, nullptr, napi_enumerable, nullptr};
}

napi_value initialize(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      method<supported_isas>("supportedIsas"), method<signatures>("signatures"), method<open>("open"),
      method<close>("close"),                  method<execute>("execute"),       method<allocate>("allocate"),
      method<map_file>("mapFile"),             method<release>("release"),       method<size>("size"),
      method<read>("read"),                    method<write>("write"),           method<bytes_in_use>("bytesInUse"),
      method<prefetch>("prefetch"),            method<buffers>("buffers"),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof *methods, methods);
  return exports;
}

}  // namespace
}  // namespace hadal

NAPI_MODULE_INIT() { return hadal::initialize(env, exports); }
