package kudari;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The page of a run, from figures whose outcome is plain. */
class DeviceReportTest {

    private static final List<String> FACTS = List.of("engine: cuda:0 (a card)");

    /** 2 GB in 1,000 µs: 2 TB/s, so that Adam's 2.8 GB ideally take 1,400 µs. */
    private static final String COPY = "kudari,1,copy,before,1,250000000,1,50,1000.0000,1.0000,";

    private static String page(String... rows) {
        List<String> raw = new ArrayList<>(List.of(DeviceBench.HEADER));
        raw.addAll(List.of(rows));
        return DeviceReport.page(FACTS, raw);
    }

    private static void contains(String page, String line) {
        assertTrue(page.contains(line), () -> "expected " + line + "\nin\n" + page);
    }

    @Test
    void thePredictionStandsThereBeforeAnyStep() {
        String page = page(COPY);
        contains(page, "moved 2.000 TB/s before the steps");
        contains(page, "| Adam | 1e8 | 28 | 1,476.7 | 94.8 % |  |  |  |  |  |"); // 3 + 1400 / 0.95
        contains(page, "| Adam clipped | 1e8 | 32 | 1,690.2 | 94.7 % |  |  |  |  |  |"); // 2 · 3 + 1600 / 0.95
        contains(page, "- PyTorch, fused: not timed.");
    }

    @Test
    void whatWasMeasuredStandsBesideItAndBesidePyTorch() {
        String page = page(
                COPY,
                "kudari,1,Adam,1e8,1,100000000,1,36,1400.0,4.0,",
                "kudari,2,Adam,1e8,1,100000000,1,36,1500.0,5.0,",
                "kudari,3,Adam,1e8,1,100000000,1,36,1600.0,6.0,",
                "torch-fused,1,Adam,1e8,1,100000000,1,36,1800.0,50.0,",
                "torch-foreach,1,Adam,1e8,1,100000000,1,36,3000.0,90.0,",
                "torch-fused,0,Adam,gpt2-124M,148,124439808,0,7,,,launches per step");
        contains(
                page,
                "| Adam | 1e8 | 28 | 1,476.7 | 94.8 % | 1,500.0 | 1,400.0 to 1,600.0 | 93.3 % | 1,866.7 | 5.00 |");
        contains(page, "| Adam | 1e8 | 1,500.0 |  | 1,800.0 | 3,000.0 |  |  | 1.20 |");
        contains(page, "- optax: not timed.");
        contains(page, "| Adam | gpt2-124M | torch-fused | 7 |");
        assertFalse(page.contains("| Sgd |"), page);
    }

    /** PyTorch's Muon has no foreach implementation, and refuses to be asked for one. */
    @Test
    void whatIsALoopInPyTorchIsNotCalledForeach() {
        String page = page(
                COPY,
                "kudari,1,Muon,gpt2-matrices,48,84934656,1,5,30000.0,400.0,",
                "torch-foreach,1,Muon,gpt2-matrices,48,84934656,1,5,9000.0,8000.0,",
                "torch-graph,1,Muon,gpt2-matrices,48,84934656,1,5,6000.0,9.0,",
                "kudari,1,Adafactor,gpt2-matrices,48,84934656,1,5,3000.0,400.0,",
                "torch-foreach,1,Adafactor,gpt2-matrices,48,84934656,1,5,7000.0,8000.0,");
        contains(page, "| Muon | gpt2-matrices | 30,000.0 |  |  | 9,000.0 (loop) | 6,000.0 |  | 0.20 |");
        contains(page, "| Adafactor | gpt2-matrices | 3,000.0 |  |  | 7,000.0 |  |  | 2.33 |");
        contains(
                page, "(loop): PyTorch's Muon is a loop over the tensors, one after the other, for it has no foreach.");
        assertFalse(page(COPY).contains("(loop)"));
    }

    @Test
    void mixedPrecisionIsMeasuredByEachContendersOwnBytes() {
        // 2.8 GB, and 3 GB in two kernels, at 0.95 of 2 TB/s.
        contains(page(COPY), "| AdamW bf16 master | 1e8 | Kudari | 28 | 1 | 1,476.7 |  |  |  |  |  |");
        contains(page(COPY), "| AdamW bf16 master scaled clipped | 1e8 | Kudari | 30 | 2 | 1,584.9 |  |  |  |  |  |");
        String scaled = "AdamW bf16 master scaled clipped,1e8,1,100000000,";
        String page = page(
                COPY,
                "kudari,1," + scaled + "1,36,1600.0,4.0,",
                "torch-fused,0," + scaled + "0,17,,,launches per step",
                "torch-fused,1," + scaled + "0,60,,,bytes per parameter",
                "torch-fused,1," + scaled + "1,36,4000.0,300.0,",
                "optax,1,AdamW bf16 nearest,1e8,1,100000000,0,14,,,bytes per parameter",
                "optax,1,AdamW bf16 nearest,1e8,1,100000000,1,36,1000.0,800.0,");
        contains(
                page,
                "| AdamW bf16 master scaled clipped | 1e8 | Kudari | 30 | 2 | 1,584.9 | 1,600.0 | 1,600.0 to 1,600.0 | 93.8 % | 4.00 |  |");
        // 6 GB take 3,000 µs by the copy, and 3,333.3 at 0.90 of it.
        contains(
                page,
                "| AdamW bf16 master scaled clipped | 1e8 | PyTorch, fused | 60 | 17 | 3,333.3 | 4,000.0 | 4,000.0 to 4,000.0 | 75.0 % | 300.00 | 2.50 |");
        contains(
                page,
                "| AdamW bf16 nearest | 1e8 | optax | 14 |  | 777.8 | 1,000.0 | 1,000.0 to 1,000.0 | 70.0 % | 800.00 |  |");
        assertFalse(page.contains("| AdamW bf16 master |"), page);
        // Tables of what moves the same bytes everywhere have none of it.
        assertFalse(page.contains("| AdamW bf16 master scaled clipped | 1e8 | 30 |"), page);
        assertFalse(page.contains("| AdamW bf16 master scaled clipped | 1e8 | 1,600.0 |"), page);
        assertFalse(page.contains("Kernels that a step of PyTorch launches"), page);
        contains(page, "Nothing.");
    }

    @Test
    void aGraphStandsBesideTheUpdateWithItsPrediction() {
        contains(page(COPY), "| Adam | 1e6 | 18.2 |  |  |  |  |  |  |"); // 3.5 + 14 / 0.95
        contains(page(COPY), "| Adam clipped | 1e4 | 5.2 |  |  |  |  |  |  |"); // 3.5 + 1.5 + 0.16 / 0.95
        String page = page(
                COPY,
                "kudari,1,Adam,1e4,1,10000,1,9000,6.0,4.0,",
                "kudari-graph,1,Adam,1e4,1,10000,1,9000,4.0,2.5,",
                "kudari,1,Adam,1e8,1,100000000,1,36,1500.0,5.0,",
                "optax,1,Adam,1e4,1,10000,1,900,20.0,19.0,");
        contains(page, "| Adam | 1e4 | 3.6 | 4.0 | 4.0 to 4.0 | 6.0 | 1.50 | 2.50 | 4.00 |");
        contains(page, "| Adam | 1e4 | 6.0 | 4.0 |  |  |  | 20.0 | 5.00 |");
        assertFalse(page.contains("- optax: not timed."), page);
    }

    private static final String NETWORK = ",784-100x4-10 batch 128,10,109810,";

    @Test
    void thePredictionForTheNetworkStandsThereBeforeAnyStepOfIt() {
        String page = page(COPY);
        // 1 gather, 5 biases, 1 loss, 5 gradients of biases, 4 of ReLU and Adam; 5 products forward, 5 and 4 back;
        // the numbers of the batch.
        contains(page, "It is 17 kernels of ours, 14 products of cuBLAS and 1");
        contains(page, "that is 64 to 96 µs, and 1 of the 32 is the optimizer's.");
        contains(page, "| Kudari | 64 to 96 |  |  |  |  |  |  | 31 |  |");
        contains(page, "| Kudari, graph | 42 to 64 |  |  |  |  |  |  | 31 |  |");
        contains(page, "| PyTorch, graph | 60 to 100 |  |  |  |  |  |  |  |  |");
    }

    @Test
    void theNetworkHasItsStepsPerSecondAndTheOptimizersShareBesidePyTorchs() {
        String page = page(
                COPY,
                "kudari,1,network" + NETWORK + "1,600,90.0,40.0,",
                "kudari,1,network" + NETWORK + "2,600,80.0,60.0,",
                "kudari,2,network" + NETWORK + "1,600,70.0,50.0,",
                "kudari,1,network gradient" + NETWORK + "1,700,72.0,30.0,",
                "kudari-graph,1,network" + NETWORK + "1,1200,40.0,8.0,",
                "torch-fused,0,network" + NETWORK + "0,65,,,launches per step",
                "torch-fused,1,network" + NETWORK + "1,100,500.0,480.0,",
                "torch-fused,1,network gradient" + NETWORK + "1,120,400.0,390.0,",
                "torch-foreach,1,network" + NETWORK + "1,100,640.0,600.0,",
                "torch-graph,1,network,784-100x4-10 batch 128,0,0,0,0,,,torch has it not: no graphs");
        // 1 − 72 / 80; a second is 12,500 times 80 µs.
        contains(page, "| Kudari | 64 to 96 | 80.0 | 70.0 to 90.0 | 72.0 | 10.0 % | 12,500 | 50.0 | 31 | 1.00 |");
        contains(page, "| Kudari, graph | 42 to 64 | 40.0 | 40.0 to 40.0 |  |  | 25,000 | 8.0 | 31 | 0.50 |");
        // 1 − 400 / 500; 2,000 times 500 µs; 500 / 80.
        contains(
                page,
                "| PyTorch, fused | 400 to 700 | 500.0 | 500.0 to 500.0 | 400.0 | 20.0 % | 2,000 | 480.0 | 65 | 6.25 |");
        // Its gradient was not timed, and so its share is not known.
        contains(page, "| PyTorch, foreach | 400 to 700 | 640.0 | 640.0 to 640.0 |  |  | 1,563 | 600.0 |  | 8.00 |");
        contains(page, "| PyTorch, graph | 60 to 100 |  |  |  |  |  |  |  |  |");
        contains(page, "- torch-graph, round 1, torch has it not: no graphs: network 784-100x4-10 batch 128");
        // The steps of the rules are another matter: none was timed.
        contains(page, "| Adam | 1e8 | 28 | 1,476.7 | 94.8 % |  |  |  |  |  |");
        contains(page, "- PyTorch, fused: not timed.");
        assertFalse(page.contains("Kernels that a step of PyTorch launches"), page);
    }

    @Test
    void whatWasLeftOutIsSaid() {
        String page = page(
                COPY,
                "kudari,1,Adam,1e9,1,1000000000,0,0,,,left out: memory",
                "kudari,1,Sgd,1e9,1,1000000000,0,0,,,left out: memory");
        contains(page, "- kudari, round 1, left out: memory: Adam 1e9; Sgd 1e9");
        contains(page(COPY), "Nothing.");
    }

    @Test
    void softwareSaysThatItsFiguresMeanNothing() {
        String page =
                DeviceReport.page(List.of("engine: cuda:0 (Kudari software GPU)"), List.of(DeviceBench.HEADER, COPY));
        contains(page, "no figure on this page means anything");
        assertFalse(page(COPY).contains("means anything"));
    }
}
