//! LightGBM, wrapped thinly and safely: a table in, trees' text out.
//!
//! The only place where C++ is called. One thread a model, fixed seeds and row-wise histograms: the same table grows the
//! same trees, byte for byte. Several models may grow at once on threads of their own, also on one table: binned, it is
//! only read.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::Once;

use lightgbm3_sys as sys;

/// What LightGBM says of a call that failed, with what was being done.
#[derive(Debug, thiserror::Error)]
#[error("lightgbm could not {doing}: {detail}")]
pub struct LightGbmError {
    doing: &'static str,
    detail: String,
}

/// What trees are grown on: rows one behind the other, NaN = missing.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub columns: &'a [f32],
    pub features: &'a [&'a str],
    pub targets: &'a [f32],
    pub weights: &'a [f32],
    /// Features that are numbers of categories, by column.
    pub categories: &'a [usize],
}

/// Bins rows and grows trees on them: [`Binned::grow`] for rows that serve one model.
pub fn grow(
    rows: Rows,
    parameters: &[(&str, String)],
    trees: usize,
    grown: &(dyn Fn(usize) + Sync),
) -> Result<String, LightGbmError> {
    Binned::new(rows, parameters)?.grow(parameters, trees, grown)
}

/// Makes growth repeatable, whatever else runs on the machine.
const REPEATABLE: [(&str, &str); 6] = [
    ("deterministic", "true"),
    ("force_row_wise", "true"),
    ("num_threads", "1"),
    ("seed", "20220101"),
    ("verbosity", "-1"),
    ("is_enable_sparse", "false"),
];

/// A grown model behind the C API: for tests and benchmarks of the walker beside it. Serving never uses it.
pub struct Booster(sys::BoosterHandle);

/// Rows as LightGBM grows trees on them: each feature in at most 255 bins, a byte a value. Copied: what it was made of
/// may go.
pub struct Binned(sys::DatasetHandle);

// SAFETY: LightGBM's boosters take a data set that is made as `const`, and it has no mutable member; a thread that
// frees it owns it.
unsafe impl Send for Binned {}
unsafe impl Sync for Binned {}

/// Rows that bins are found from: some two hundred a bin. LightGBM holds their values as doubles with an index beside
/// each meanwhile, so that its default of 200,000 would take 100 MB for 40 features.
const BIN_ROWS: u32 = 50_000;

impl Booster {
    /// Reads LightGBM's text.
    pub fn read(text: &str) -> Result<Booster, LightGbmError> {
        quiet();
        let text = text_of("read a model", text.to_owned())?;
        let (mut handle, mut iterations) = (null_mut(), 0);
        check("read a model", unsafe { sys::LGBM_BoosterLoadModelFromString(text.as_ptr(), &mut iterations, &mut handle) })?;
        Ok(Booster(handle))
    }

    pub fn text(&self) -> Result<String, LightGbmError> {
        const ALL: c_int = -1;
        const IMPORTANCE_BY_SPLITS: c_int = 0;
        let mut length = 0_i64;
        let mut bytes: Vec<u8> = Vec::new();
        // Asked twice: for its length, then for itself.
        for _ in 0..2 {
            bytes.resize(length as usize, 0);
            check("write a model", unsafe {
                sys::LGBM_BoosterSaveModelToString(
                    self.0,
                    0,
                    ALL,
                    IMPORTANCE_BY_SPLITS,
                    bytes.len() as i64,
                    &mut length,
                    bytes.as_mut_ptr().cast::<c_char>(),
                )
            })?;
        }
        let text = CStr::from_bytes_until_nul(&bytes).map_err(|error| failed("write a model", error))?;
        Ok(text.to_str().map_err(|error| failed("write a model", error))?.to_owned())
    }

    /// What the C API predicts, for tests and benchmarks of the walker beside it.
    pub fn predict(&self, columns: &[f32], width: usize) -> Result<Vec<f64>, LightGbmError> {
        assert!(width > 0 && columns.len().is_multiple_of(width), "rows hold a value for each of the {width} features");
        let mut answers = vec![0.0; columns.len() / width];
        let mut length = answers.len() as i64;
        let parameters = text_of("predict", "num_threads=1 verbosity=-1".to_owned())?;
        check("predict", unsafe {
            sys::LGBM_BoosterPredictForMat(
                self.0,
                columns.as_ptr().cast::<c_void>(),
                sys::C_API_DTYPE_FLOAT32 as c_int,
                answers.len() as i32,
                width as i32,
                1,
                sys::C_API_PREDICT_NORMAL as c_int,
                0,
                -1,
                parameters.as_ptr(),
                &mut length,
                answers.as_mut_ptr(),
            )
        })?;
        assert_eq!(length as usize, answers.len(), "one answer a row");
        Ok(answers)
    }
}

impl Binned {
    /// Bins rows. Of `parameters` those that say what a value means, as `zero_as_missing`, have a say; those of growing
    /// have none.
    pub fn new(rows: Rows, parameters: &[(&str, String)]) -> Result<Binned, LightGbmError> {
        quiet();
        let mut parameters = parameters.to_vec();
        parameters.push(("bin_construct_sample_cnt", BIN_ROWS.to_string()));
        // Which features can be split depends on a model's own parameters; the rows may serve several.
        parameters.push(("feature_pre_filter", "false".to_owned()));
        if !rows.categories.is_empty() {
            let columns: Vec<String> = rows.categories.iter().map(usize::to_string).collect();
            parameters.push(("categorical_feature", columns.join(",")));
        }
        let parameters = written(&parameters)?;
        let (count, width) = (rows.targets.len(), rows.features.len());
        assert_eq!(rows.columns.len(), count * width, "each row has a value for each feature");
        assert_eq!(rows.weights.len(), count, "each row has a weight");
        let doing = "bin the rows";
        let too_many = |_| LightGbmError { doing, detail: format!("{count} rows are more than it can count") };
        let count = i32::try_from(count).map_err(too_many)?;
        let mut handle = null_mut();
        check(doing, unsafe {
            sys::LGBM_DatasetCreateFromMat(
                rows.columns.as_ptr().cast::<c_void>(),
                sys::C_API_DTYPE_FLOAT32 as c_int,
                count,
                width as i32,
                1,
                parameters.as_ptr(),
                null_mut(),
                &mut handle,
            )
        })?;
        let binned = Binned(handle);
        for (name, values) in [(c"label", rows.targets), (c"weight", rows.weights)] {
            check(doing, unsafe {
                sys::LGBM_DatasetSetField(
                    binned.0,
                    name.as_ptr(),
                    values.as_ptr().cast::<c_void>(),
                    count,
                    sys::C_API_DTYPE_FLOAT32 as c_int,
                )
            })?;
        }
        let names = rows.features.iter().map(|name| text_of(doing, (*name).to_owned())).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        check(doing, unsafe { sys::LGBM_DatasetSetFeatureNames(binned.0, pointers.as_mut_ptr(), width as c_int) })?;
        Ok(binned)
    }

    /// Grows trees and gives LightGBM's text of them. `parameters` are LightGBM's own, as `num_leaves=63`; those that
    /// make it repeatable are added. `grown` is called after each tree with how many there are.
    pub fn grow(
        &self,
        parameters: &[(&str, String)],
        trees: usize,
        grown: &(dyn Fn(usize) + Sync),
    ) -> Result<String, LightGbmError> {
        quiet();
        let parameters = written(parameters)?;
        let mut handle = null_mut();
        // SAFETY: the rows outlive the booster, which this function drops before it returns.
        check("begin to grow trees", unsafe { sys::LGBM_BoosterCreate(self.0, parameters.as_ptr(), &mut handle) })?;
        let booster = Booster(handle);
        for tree in 1..=trees {
            let mut finished: c_int = 0;
            check("grow a tree", unsafe { sys::LGBM_BoosterUpdateOneIter(booster.0, &mut finished) })?;
            if finished != 0 {
                // No split gains anything more: further trees would be empty.
                break;
            }
            grown(tree);
        }
        booster.text()
    }
}

impl Drop for Booster {
    fn drop(&mut self) {
        // SAFETY: the handle came from a successful call and is dropped once.
        unsafe { sys::LGBM_BoosterFree(self.0) };
    }
}

impl Drop for Binned {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { sys::LGBM_DatasetFree(self.0) };
    }
}

fn check(doing: &'static str, code: c_int) -> Result<(), LightGbmError> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: LightGBM keeps the message of a thread's last failure, and ends it with a nought.
    let detail = unsafe { CStr::from_ptr(sys::LGBM_GetLastError()) };
    Err(failed(doing, detail.to_string_lossy()))
}

fn failed(doing: &'static str, detail: impl std::fmt::Display) -> LightGbmError {
    LightGbmError { doing, detail: detail.to_string() }
}

/// Parameters as LightGBM reads them, behind those that make it repeatable.
fn written(parameters: &[(&str, String)]) -> Result<CString, LightGbmError> {
    let repeatable = REPEATABLE.iter().map(|(name, value)| format!("{name}={value}"));
    let words = repeatable.chain(parameters.iter().map(|(name, value)| format!("{name}={value}")));
    text_of("read its parameters", words.collect::<Vec<_>>().join(" "))
}

fn text_of(doing: &'static str, text: String) -> Result<CString, LightGbmError> {
    CString::new(text).map_err(|error| failed(doing, error))
}

/// LightGBM prints to the terminal unless told, by each thread that calls it, whom to tell.
fn quiet() {
    thread_local!(static ONCE: Once = const { Once::new() });
    unsafe extern "C" fn told(message: *const c_char) {
        // SAFETY: LightGBM hands over a text that ends with a nought.
        let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
        let message = message.trim();
        if !message.is_empty() {
            tracing::debug!(message, "lightgbm");
        }
    }
    // SAFETY: the function lives as long as the program.
    ONCE.with(|once| {
        once.call_once(|| unsafe {
            sys::LGBM_RegisterLogCallback(Some(told));
        })
    });
}
