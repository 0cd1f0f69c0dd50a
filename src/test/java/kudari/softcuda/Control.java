package kudari.softcuda;

import static java.util.stream.Collectors.toMap;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.util.Map;
import java.util.TreeMap;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUmodule;
import jcuda.driver.JCudaDriver;
import kudari.CudaException;

/** Questions to the GPU in software of this process, asked beside the engine's context, which a test may lose. */
public final class Control {

    private final CUcontext aside = new CUcontext();
    private final CUmodule module = new CUmodule();

    /** Whether the tests run on the GPU in software. */
    public static boolean isThere() {
        return System.getProperty("kudari.device", "cpu").equals("soft");
    }

    /** Makes a context for the questions. */
    public Control() {
        CudaException.must(JCudaDriver.cuInit(0), "cuInit");
        CudaException.must(JCudaDriver.cuCtxCreate(aside, 0, new CUdevice()), "cuCtxCreate");
        CudaException.must(JCudaDriver.cuModuleLoadData(module, "softcuda"), "cuModuleLoadData");
        JCudaDriver.cuCtxPopCurrent(new CUcontext());
    }

    /** The context in which the questions are asked. */
    public CUcontext aside() {
        return aside;
    }

    /** Asks a question, or gives a command, of softcuda's README. */
    public JsonElement ask(String question) {
        JCudaDriver.cuCtxPushCurrent(aside);
        CUdeviceptr answer = new CUdeviceptr();
        long[] size = {0};
        CudaException.must(JCudaDriver.cuModuleGetGlobal(answer, size, module, question), question);
        byte[] text = new byte[(int) size[0]];
        CudaException.must(JCudaDriver.cuMemcpyDtoH(Pointer.to(text), answer, size[0]), question);
        JCudaDriver.cuCtxPopCurrent(new CUcontext());
        return JsonParser.parseString(new String(text));
    }

    /** The driver calls since the last reset, by name, without version and without those of {@link #ask}. */
    public Map<String, Long> calls() {
        JsonObject calls = ask("stats").getAsJsonObject().getAsJsonObject("calls");
        return calls.entrySet().stream()
                .filter(e -> !e.getKey().matches("cuCtx(Push|Pop)Current.*"))
                .collect(toMap(
                        e -> e.getKey().replaceFirst("_v\\d$", ""),
                        e -> e.getValue().getAsLong(),
                        Long::sum,
                        TreeMap::new));
    }

    /** Kernels and products that have run since the last reset. */
    public int launches() {
        return ask("stats").getAsJsonObject().get("launches").getAsInt();
    }
}
