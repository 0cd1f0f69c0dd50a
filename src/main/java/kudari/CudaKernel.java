package kudari;

import static jcuda.driver.JCudaDriver.cuModuleGetFunction;
import static jcuda.driver.JCudaDriver.cuModuleLoadData;
import static jcuda.driver.JCudaDriver.cuModuleUnload;
import static kudari.CudaException.must;

import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;

/** The kernel of one rule, compiled for one device and loaded: {@code kernels/adam.cu} for {@code Adam}. */
final class CudaKernel {

    /** The driver says that the machine code is not for this device. */
    private static final int NO_BINARY_FOR_GPU = 209;

    private final String name;
    private final CUmodule module = new CUmodule();
    private final CUfunction function = new CUfunction();

    /**
     * Compiles and loads a kernel.
     *
     * @param name of the kernel, its file and its function
     * @param capability the device's compute capability, as in 90
     */
    CudaKernel(String name, int capability) {
        this.name = name;
        Nvrtc.Source source = Nvrtc.Source.of(name + ".cu");
        int code = cuModuleLoadData(module, Nvrtc.compile(source, capability, false));
        if (code == NO_BINARY_FOR_GPU) code = cuModuleLoadData(module, Nvrtc.compile(source, capability, true));
        must(code, "cuModuleLoadData of " + this);
        must(cuModuleGetFunction(function, module, name), "cuModuleGetFunction of " + this);
    }

    CUfunction function() {
        return function;
    }

    void unload() {
        cuModuleUnload(module);
    }

    /** The file, as in {@code kernels/adam.cu}. */
    @Override
    public String toString() {
        return "kernels/" + name + ".cu";
    }
}
