package kudari;

import static org.bytedeco.openblas.global.openblas_nolapack.CblasNoTrans;
import static org.bytedeco.openblas.global.openblas_nolapack.CblasRowMajor;
import static org.bytedeco.openblas.global.openblas_nolapack.CblasTrans;

import kudari.io.PrivateFolder;
import org.bytedeco.openblas.global.openblas_nolapack;

/** OpenBLAS, for products of matrices on the CPU. Had by {@link CpuEngine#openBlas}. */
public final class OpenBlas implements Products {

    OpenBlas() {
        PrivateFolder.forJavaCpp();
        try {
            // One thread, however many the engine has. OpenBLAS's last bits depend on the number of its threads,
            // and that is one number for the whole process. A second thread would gain a seventh of a step on an
            // idle machine; on a busy one OpenBLAS spins until it is there: 8 ms for a product of 0.04 ms.
            openblas_nolapack.blas_set_num_threads(1);
        } catch (LinkageError e) {
            throw new UnsupportedOperationException(
                    "org.bytedeco:openblas is not on the class path, or not with its natives for this machine", e);
        }
    }

    @Override
    public void multiply(
            boolean transposedA,
            boolean transposedB,
            int m,
            int n,
            int k,
            float factor,
            float[] a,
            float[] b,
            float keep,
            float[] c) {
        openblas_nolapack.cblas_sgemm(
                CblasRowMajor,
                transposedA ? CblasTrans : CblasNoTrans,
                transposedB ? CblasTrans : CblasNoTrans,
                m,
                n,
                k,
                factor,
                a,
                transposedA ? m : k,
                b,
                transposedB ? k : n,
                keep,
                c,
                n);
    }
}
