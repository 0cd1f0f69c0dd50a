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
        contains(page, "| Adam | 1e8 | 1,476.7 | 94.8 % |  |  |  |  |"); // 3 + 1400 / 0.95
        contains(page, "| Adam clipped | 1e8 | 1,690.2 | 94.7 % |  |  |  |  |"); // 2 · 3 + 1600 / 0.95
        contains(page, "It was not timed.");
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
        contains(page, "| Adam | 1e8 | 1,476.7 | 94.8 % | 1,500.0 | 1,400.0 to 1,600.0 | 93.3 % | 5.00 |");
        contains(page, "| Adam | 1e8 | 1,500.0 | 1,800.0 | 3,000.0 |  | 1.20 |");
        contains(page, "| Adam | gpt2-124M | torch-fused | 7 |");
        assertFalse(page.contains("| Sgd |"), page);
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
