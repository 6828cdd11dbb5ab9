/* A stand-in for NVIDIA's libnvidia-ml.so.1, which the real pynvml loads; build.py compiles it and says how to use it.
 *
 * Two GPUs, in an order that is not CUDA's: index 0 is the second CUDA device and cannot count energy, index 1 the first
 * and can do everything. Since the T0 of the scenario (Unix seconds; else since nvmlInit), with t in seconds:
 *
 *     power  100 + 50 t W      energy  100 t + 25 t^2 J      memory used  1000 + 100 t MiB (+ 400 reserved)
 *     power now  110 + 50 t W  average power, as a field  105 + 50 t W
 *     PCIe  received 20 t, transmitted 10 t 10^6 bytes, by counters that begin 1 byte below 2^32
 *
 * The environment selects what goes wrong, read at every call:
 *
 *     NVML_STUB_INIT=9          nvmlInit returns this error
 *     NVML_STUB_T0=...          start of the ramps
 *     NVML_STUB_PROCESSES=none  list no processes, as in a container (else: this process 300 MiB, pid 1 100 MiB, the
 *                               latter as one that draws, too)
 *     NVML_STUB_PROCESSES=sizeless  list processes without their memory, as virtual GPUs do
 *     NVML_STUB_ERRORS=PowerUsage=3,Field186=15  these functions (nvmlDeviceGet...) and fields return these errors
 *     NVML_STUB_COUNTERS=short  count PCIe bytes in 32 bits; =odd: as a type that no binding knows
 *     NVML_STUB_GENERATION=n    of the PCIe link, at most; else 5
 *     NVML_STUB_CHILD=pid       list this process too, with 50 MiB
 *     NVML_STUB_LOST_AFTER=n    GPU 1 is lost after n readings of its power
 *     NVML_STUB_FAILS_AT=n      the n-th reading of power on GPU 1 is an unknown error, the next ones are well
 *     NVML_STUB_BROKEN=index    this GPU cannot be opened
 *     NVML_STUB_MIG=1           GPU 1 is partitioned into one instance
 *     NVML_STUB_LOG=file        write a line with the process number for each "init", "shutdown", "shutdown refused",
 *                               "energy refused" (on GPU 0), "throughput asked", "error asked" (see NVML_STUB_ERRORS)
 *                               and "lost GPU asked"
 *
 * -DWITHOUT_ENERGY and -DWITHOUT_NEW_CALLS leave out functions and fields that old drivers lack.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

typedef int nvmlReturn_t;
enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, SMALL = 7, VERSION = 25, LOST = 15, UNKNOWN = 999 };

typedef struct { const char *uuid, *name; int mig; int power_reads; int lost; } Device;
typedef Device *nvmlDevice_t;

static Device devices[] = {
    {"GPU-bbbbbbbb-1111-2222-3333-444444444444", "Stub GPU B", 0, 0, 0},
    {"GPU-aaaaaaaa-1111-2222-3333-444444444444", "Stub GPU A", 0, 0, 0},
    {"MIG-cccccccc-1111-2222-3333-444444444444", "Stub GPU A MIG 1g.10gb", 1, 0, 0},
};
static pid_t owner = 0; /* the process that called nvmlInit: a forked child has to call it again */
static double began = 0;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}

static double seconds(void) {
    const char *t0 = getenv("NVML_STUB_T0");
    return now() - (t0 ? atof(t0) : began);
}

static int setting(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

static void note(const char *what) {
    const char *path = getenv("NVML_STUB_LOG");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "%s %d\n", what, (int)getpid());
    fclose(file);
}

/* The error that NVML_STUB_ERRORS sets for a function or field, else OK. */
static int set_error(const char *name) {
    const char *prefix = "nvmlDeviceGet", *at = getenv("NVML_STUB_ERRORS");
    if (!strncmp(name, prefix, strlen(prefix))) name += strlen(prefix);
    size_t length = strlen(name);
    for (; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (!strncmp(at, name, length) && at[length] == '=') { note("error asked"); return atoi(at + length + 1); }
    return OK;
}

#define CHECK(device)                                                           \
    if (owner != getpid()) return UNINITIALIZED;                                \
    if ((device) && (device)->lost) { note("lost GPU asked"); return LOST; }    \
    { int error = set_error(__func__); if (error) return error; }

#define WHOLE_GPU_ONLY(device)                         \
    CHECK(device);                                     \
    if ((device)->mig) return NOT_SUPPORTED

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int error = setting("NVML_STUB_INIT", OK);
    if (error) return error;
    owner = getpid();
    began = now();
    note("init");
    return OK;
}

nvmlReturn_t nvmlShutdown(void) {
    if (owner != getpid()) { note("shutdown refused"); return UNINITIALIZED; }
    owner = 0;
    note("shutdown");
    return OK;
}

const char *nvmlErrorString(nvmlReturn_t error) { (void)error; return "an error of the stub"; }

nvmlReturn_t nvmlSystemGetDriverVersion(char *text, unsigned size) {
    CHECK((Device *)NULL);
    snprintf(text, size, "580.65.06");
    return OK;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) { CHECK((Device *)NULL); *version = 12080; return OK; }

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) { CHECK((Device *)NULL); *count = 2; return OK; }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
    CHECK((Device *)NULL);
    if (index > 1) return INVALID;
    if ((int)index == setting("NVML_STUB_BROKEN", -1)) return UNKNOWN;
    *device = &devices[index];
    return OK;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    CHECK((Device *)NULL);
    for (int i = 0; i < 3; i++)
        if (!strcmp(uuid, devices[i].uuid)) { *device = &devices[i]; return OK; }
    return NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *count) {
    CHECK(device);
    *count = device == &devices[1] && setting("NVML_STUB_MIG", 0) ? 7 : 0;
    return OK;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index, nvmlDevice_t *instance) {
    CHECK(device);
    if (index) return NOT_FOUND;
    *instance = &devices[2];
    return OK;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t d, char *text, unsigned n) { CHECK(d); snprintf(text, n, "%s", d->uuid); return OK; }

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t d, char *text, unsigned n) { CHECK(d); snprintf(text, n, "%s", d->name); return OK; }

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
    CHECK(device);
    *major = 9;
    *minor = 0;
    return OK;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, unsigned rates[2]) {
    WHOLE_GPU_ONLY(device);
    rates[0] = 80;
    rates[1] = 30;
    return OK;
}

static const unsigned long long MIB = 1048576, TOTAL = 81920, RESERVED = 400;

static unsigned long long used(void) { return (unsigned long long)((1000 + 100 * seconds()) * MIB); }

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, unsigned long long memory[3]) {
    CHECK(device);
    memory[0] = TOTAL * MIB;
    memory[2] = used() + RESERVED * MIB; /* the older call counts reserved memory as used */
    memory[1] = memory[0] - memory[2];
    return OK;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, int kind, unsigned *mhz) {
    WHOLE_GPU_ONLY(device);
    *mhz = kind == 1 ? 1500 : 2600;
    return OK;
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, int kind, unsigned *mhz) {
    WHOLE_GPU_ONLY(device);
    *mhz = kind == 1 ? 1980 : 2619;
    return OK;
}

static nvmlReturn_t number(nvmlDevice_t device, unsigned value, unsigned *answer) {
    WHOLE_GPU_ONLY(device);
    *answer = value;
    return OK;
}

#define NUMBER(name, value) \
    nvmlReturn_t name(nvmlDevice_t device, unsigned *answer) { CHECK(device); return number(device, value, answer); }

NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, 4)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, (unsigned)setting("NVML_STUB_GENERATION", 5))
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, 8)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, 16)
NUMBER(nvmlDeviceGetPersistenceMode, 1)
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, 650000)

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned *least, unsigned *most) {
    WHOLE_GPU_ONLY(device);
    *least = 200000;
    *most = 750000;
    return OK;
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, int *now, int *pending) {
    WHOLE_GPU_ONLY(device);
    *now = 1;
    *pending = 0;
    return OK;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *now, unsigned *pending) {
    WHOLE_GPU_ONLY(device);
    *now = *pending = device == &devices[1] && setting("NVML_STUB_MIG", 0);
    return OK;
}

nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, int counter, unsigned *kilobytes) {
    WHOLE_GPU_ONLY(device);
    note("throughput asked");
    *kilobytes = counter == 0 ? 3000 : 7000;
    return OK;
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned *milliwatts) {
    WHOLE_GPU_ONLY(device);
    *milliwatts = 700000;
    return OK;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *milliwatts) {
    WHOLE_GPU_ONLY(device);
    if (device == &devices[1]) {
        int reads = ++device->power_reads;
        int limit = setting("NVML_STUB_LOST_AFTER", 0);
        if (limit && reads > limit) { device->lost = 1; return LOST; }
        if (reads == setting("NVML_STUB_FAILS_AT", 0)) return UNKNOWN;
    }
    *milliwatts = (unsigned)((100 + 50 * seconds()) * 1000);
    return OK;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *celsius) {
    (void)sensor;
    WHOLE_GPU_ONLY(device);
    *celsius = 55;
    return OK;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *mask) {
    WHOLE_GPU_ONLY(device);
    *mask = 4;
    return OK;
}

typedef struct {
    unsigned field, scope;
    long long timestamp, latency;
    int type, error;
    union { double real; unsigned word; unsigned long long number; } value;
} Field;

enum { WORD = 1, NUMBER64 = 3 };

static void answer_field(nvmlDevice_t device, Field *field, double t) {
    char name[32];
    const char *counters = getenv("NVML_STUB_COUNTERS");
    int shortened = counters && !strcmp(counters, "short"), odd = counters && !strcmp(counters, "odd");
    snprintf(name, sizeof name, "Field%u", field->field);
    field->error = device->mig ? NOT_SUPPORTED : set_error(name);
    (void)t;
    field->type = NUMBER64;
    field->value.number = 0;
    switch (field->error ? 0 : field->field) {
#ifndef WITHOUT_NEW_CALLS
    case 185: field->type = WORD; field->value.word = (unsigned)((105 + 50 * t) * 1000); break;
    case 186: field->type = WORD; field->value.word = (unsigned)((110 + 50 * t) * 1000); break;
    case 197: field->value.number = 4294967295ull + (unsigned long long)(10e6 * t); break;
    case 198: field->value.number = 4294967295ull + (unsigned long long)(20e6 * t); break;
#endif
    default: field->error = field->error ? field->error : INVALID;
    }
    if (field->field < 197 || field->error) return;
    if (shortened) { field->type = WORD; field->value.word = (unsigned)field->value.number; }
    if (odd) field->type = 99;
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, Field *fields) {
    CHECK(device);
    double t = seconds(); /* all fields are of one moment */
    for (int i = 0; i < count; i++) answer_field(device, &fields[i], t);
    return OK;
}

typedef struct { unsigned pid; unsigned long long used; unsigned instance, compute; } Process;

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned *count, Process *list) {
    CHECK(device);
    const char *visible = getenv("NVML_STUB_PROCESSES");
    int child = setting("NVML_STUB_CHILD", 0);
    unsigned have = visible && !strcmp(visible, "none") ? 0 : child ? 3 : 2;
    unsigned room = *count;
    *count = have;
    if (room < have) return SMALL;
    Process all[] = {{1, 100 * MIB, 0, 0}, {(unsigned)getpid(), 300 * MIB, 0, 0}, {(unsigned)child, 50 * MIB, 0, 0}};
    for (int i = 0; visible && !strcmp(visible, "sizeless") && i < 3; i++) all[i].used = ~0ull;
    if (have) memcpy(list, all, have * sizeof *all);
    return OK;
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v2(nvmlDevice_t device, unsigned *count, Process *list) {
    CHECK(device);
    unsigned room = *count;
    nvmlReturn_t error = nvmlDeviceGetComputeRunningProcesses_v2(device, count, list);
    if (*count) *count = 1; /* of all of them the first one draws */
    return room && error == SMALL ? OK : error;
}

#ifndef WITHOUT_ENERGY
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoules) {
    WHOLE_GPU_ONLY(device);
    if (device == &devices[0]) { note("energy refused"); return NOT_SUPPORTED; }
    double t = seconds();
    *millijoules = (unsigned long long)((100 * t + 25 * t * t) * 1000);
    return OK;
}
#endif

#ifndef WITHOUT_NEW_CALLS
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count, Process *list) {
    CHECK(device);
    return nvmlDeviceGetComputeRunningProcesses_v2(device, count, list);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned *count, Process *list) {
    CHECK(device);
    return nvmlDeviceGetGraphicsRunningProcesses_v2(device, count, list);
}

typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, Memory *memory) {
    CHECK(device);
    if (memory->version != 0x02000028) return VERSION;
    memory->total = TOTAL * MIB;
    memory->reserved = RESERVED * MIB;
    memory->used = used();
    memory->free = memory->total - memory->reserved - memory->used;
    return OK;
}

typedef struct { unsigned version; int sensor; int celsius; } Temperature;

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, Temperature *reading) {
    WHOLE_GPU_ONLY(device);
    if (reading->version != 0x100000C) return VERSION;
    reading->celsius = 56;
    return OK;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *mask) {
    WHOLE_GPU_ONLY(device);
    *mask = 0;
    return OK;
}
#endif
